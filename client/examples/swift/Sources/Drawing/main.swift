// Makes face.png of a label map, over the service's HTTP port. Needs the package connect-swift.
//
//     swift run Drawing http://localhost:8080
import Connect
import Foundation

let rows = "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777"
let client = ProtocolClient(
    httpClient: URLSessionHTTPClient(),
    config: ProtocolClientConfig(host: CommandLine.arguments[1], networkProtocol: .connect, codec: ProtoCodec())
)

var raw = Maskweave_V1_RawLabelMap()
raw.data = Data(rows.compactMap(\.wholeNumberValue).map { UInt8($0) })
raw.width = 8
raw.height = 8
var request = Maskweave_V1_SynthesizeRequest()
request.model = "faces64"
request.labelMap.raw = raw
request.seed = 7

let response = await Maskweave_V1_SynthesisServiceClient(client: client).synthesize(request: request)
guard let reply = response.message else { fatalError(response.error?.message ?? "no answer") }
try reply.images[0].data.write(to: URL(fileURLWithPath: "face.png"))
