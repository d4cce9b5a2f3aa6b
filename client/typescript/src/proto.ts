/** The contract's messages and service as they are generated, for what the client does not cover. */
export * from "./gen/maskweave/v1/synthesis_pb.js";
