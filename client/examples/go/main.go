// Makes face.png of a label map. After `buf generate` and `go mod init example.com/drawing && go mod tidy`:
//
//	go run . localhost:50051
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	maskweave "example.com/drawing/gen/maskweave/v1"
)

const rows = "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777"

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	ids := []byte(strings.ReplaceAll(rows, " ", ""))
	for i := range ids {
		ids[i] -= '0'
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	reply, err := maskweave.NewSynthesisServiceClient(connection).Synthesize(ctx, &maskweave.SynthesizeRequest{
		Model: "faces64",
		Condition: &maskweave.SynthesizeRequest_LabelMap{LabelMap: &maskweave.LabelMap{
			Encoding: &maskweave.LabelMap_Raw{Raw: &maskweave.RawLabelMap{Data: ids, Width: 8, Height: 8}},
		}},
		Start: &maskweave.SynthesizeRequest_Seed{Seed: 7},
	})
	if err != nil {
		log.Fatal(err) // status.FromError(err) has the details of docs/errors.md
	}
	if err := os.WriteFile("face.png", reply.Images[0].Data, 0o644); err != nil {
		log.Fatal(err)
	}
}
