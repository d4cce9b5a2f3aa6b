// Makes face.png of a label map. Needs the packages Google.Protobuf and Grpc.Net.Client.
//
//     dotnet run http://localhost:50051
using Google.Protobuf;
using Grpc.Net.Client;
using Maskweave.V1;

const string rows = "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777";
var ids = rows.Where(char.IsDigit).Select(digit => (byte)(digit - '0')).ToArray();

using var channel = GrpcChannel.ForAddress(args[0]);
var client = new SynthesisService.SynthesisServiceClient(channel);
var reply = await client.SynthesizeAsync(
    new SynthesizeRequest
    {
        Model = "faces64",
        LabelMap = new LabelMap { Raw = new RawLabelMap { Data = ByteString.CopyFrom(ids), Width = 8, Height = 8 } },
        Seed = 7,
    },
    deadline: DateTime.UtcNow.AddSeconds(30));
await File.WriteAllBytesAsync("face.png", reply.Images[0].Data.ToByteArray());
