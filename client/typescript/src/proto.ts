/** The contract's messages and service as they are generated, for what the client does not cover. */
export * from "./gen/maskweave/v1/synthesis_pb.js";
/** What `Client.draw` and `Client.edit` send, to write or to send it otherwise. */
export { drawingOf as synthesizeRequestOf, editOf as editRequestOf } from "./requests.js";
