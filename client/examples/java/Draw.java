import com.google.protobuf.ByteString;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import maskweave.v1.LabelMap;
import maskweave.v1.RawLabelMap;
import maskweave.v1.SynthesisServiceGrpc;
import maskweave.v1.SynthesizeRequest;

/** Makes face.png of a label map. Needs grpc-netty-shaded, grpc-protobuf and grpc-stub. */
public class Draw {
    private static final String ROWS =
            "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777";

    public static void main(String[] arguments) throws Exception {
        String digits = ROWS.replace(" ", "");
        byte[] ids = new byte[digits.length()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (byte) (digits.charAt(i) - '0');
        }
        RawLabelMap raw = RawLabelMap.newBuilder()
                .setData(ByteString.copyFrom(ids)).setWidth(8).setHeight(8).build();
        var request = SynthesizeRequest.newBuilder()
                .setModel("faces64").setLabelMap(LabelMap.newBuilder().setRaw(raw)).setSeed(7).build();

        var channel = Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create()).build();
        try {
            var reply = SynthesisServiceGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(30, TimeUnit.SECONDS).synthesize(request);
            Files.write(Path.of("face.png"), reply.getImages(0).getData().toByteArray());
        } finally {
            channel.shutdown();
        }
    }
}
