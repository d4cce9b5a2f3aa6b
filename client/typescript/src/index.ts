/** Client of the Maskweave service: drawings in, images out. */
export { Client, type CallOptions, type ClientOptions } from "./client.js";
export {
  Cancelled,
  DeadlineExceeded,
  InvalidRequest,
  MaskweaveError,
  NotFound,
  Overloaded,
  PermissionDenied,
  ServiceFailure,
  Unauthenticated,
  Unavailable,
  type FieldViolation,
} from "./errors.js";
/** The statuses, as `MaskweaveError.code` has them. */
export { Code } from "@connectrpc/connect";
export { GeneratedImage, type Frame, type LabelMapReading, type MorphFrame, type Result, type StreamedImage } from "./images.js";
export { PaintSession, type PaintChange, type PaintUpdate, type Stroke } from "./paint.js";
export type {
  Bytes,
  Condition,
  Drawing,
  EditRequest,
  ImageFormat,
  Ids,
  Look,
  MorphRequest,
  PaintRequest,
  ReadRequest,
  Scribble,
  Sketch,
  Style,
  StyleCode,
  Styles,
} from "./requests.js";
export type { Retry } from "./retry.js";
export type { Model, Timings } from "./gen/maskweave/v1/synthesis_pb.js";
