/** Every way a call can fail. */

import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** One field of a request that is not allowed. */
export interface FieldViolation {
  /** Its path in the request, for example `label_map.png`. */
  field: string;
  /** What was sent and what is allowed. */
  description: string;
}

/** Base of all failures of calls. */
export class MaskweaveError extends Error {
  /** The status as Connect names it. */
  readonly code: Code;
  /** Stable UPPER_SNAKE reason given by the service; empty when the call did not reach it. */
  readonly reason: string = "";
  /** Further facts given by the service. */
  readonly metadata: Readonly<Record<string, string>> = {};
  /** Id of the request in the service's log; empty when the call did not reach it. */
  readonly requestId: string = "";
  /** Fields at fault; empty unless the request is. */
  readonly violations: readonly FieldViolation[] = [];
  /** When the service asks to try again; undefined when it does not say. */
  readonly retryAfterMs: number | undefined;

  /** @internal */
  constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    this.name = new.target.name;
    this.code = error.code;
    for (const info of error.findDetails(ErrorInfoSchema)) {
      this.reason = info.reason;
      this.metadata = { ...info.metadata };
    }
    for (const info of error.findDetails(RequestInfoSchema)) this.requestId = info.requestId;
    this.violations = error
      .findDetails(BadRequestSchema)
      .flatMap((each) => each.fieldViolations.map(({ field, description }) => ({ field, description })));
    for (const { retryDelay } of error.findDetails(RetryInfoSchema))
      if (retryDelay) this.retryAfterMs = Number(retryDelay.seconds) * 1e3 + retryDelay.nanos / 1e6;
    const pushback = error.metadata.get("grpc-retry-pushback-ms");
    if (pushback !== null && Number(pushback) < 0) this.retryAfterMs = undefined;
  }
}

/** A field of the request is not allowed; see `violations`. */
export class InvalidRequest extends MaskweaveError {}
/** There is no such model. */
export class NotFound extends MaskweaveError {}
/** There was no answer within the deadline. */
export class DeadlineExceeded extends MaskweaveError {}
/** The service asks for a key, and there was none or not one that it knows. */
export class Unauthenticated extends MaskweaveError {}
/** The key is not for this. */
export class PermissionDenied extends MaskweaveError {}
/** The service is busy, the key is at one of its limits, or the message is too large; see `retryAfterMs`. */
export class Overloaded extends MaskweaveError {}
/** The service cannot be reached, is starting or is stopping. */
export class Unavailable extends MaskweaveError {}
/** The service cancelled the call. Calls that you abort throw your signal's reason instead. */
export class Cancelled extends MaskweaveError {}
/** The service failed, or answered with a status that this client does not know. */
export class ServiceFailure extends MaskweaveError {}

const CLASSES: Partial<Record<Code, typeof MaskweaveError>> = {
  [Code.InvalidArgument]: InvalidRequest,
  [Code.NotFound]: NotFound,
  [Code.DeadlineExceeded]: DeadlineExceeded,
  [Code.Unauthenticated]: Unauthenticated,
  [Code.PermissionDenied]: PermissionDenied,
  [Code.ResourceExhausted]: Overloaded,
  [Code.Unavailable]: Unavailable,
  [Code.Canceled]: Cancelled,
};

/** The failure that something thrown by a call stands for. */
export function failureOf(thrown: unknown): MaskweaveError {
  if (thrown instanceof MaskweaveError) return thrown;
  let error = ConnectError.from(thrown);
  // What `fetch` throws when nobody answers, which Connect takes for unknown.
  if (error.code === Code.Unknown && error.cause instanceof TypeError)
    error = new ConnectError(`the service cannot be reached: ${reasonOf(error.cause)}`, Code.Unavailable, undefined, undefined, error.cause);
  return new (CLASSES[error.code] ?? ServiceFailure)(error);
}

function reasonOf(error: TypeError): string {
  return error.cause instanceof Error && error.cause.message ? error.cause.message : error.message;
}
