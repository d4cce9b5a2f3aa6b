/** Failures as sentences for people, with what to do about them. */

import { Code, MaskweaveError } from "maskweave-client";
import { FileError } from "../canvas/png";

export interface Failure {
  /** What happened and what to do, in whole sentences. */
  text: string;
  /** `key`: only a key helps. `retry`: trying again may help, after `retryMilliseconds`. `stop`: it does not. */
  remedy: "key" | "retry" | "stop";
  retryMilliseconds?: number;
  /** Nothing was wrong: the session had been idle for too long. */
  idle?: boolean;
  /** The service may have other models by now than those that the page knows. */
  unknown?: boolean;
}

const AGAIN = 1500;

export const SLOW: Failure = {
  text: "The gateway takes long. What you draw is kept, and the image follows when it is done.",
  remedy: "retry",
};

export const NO_MODEL: Failure = {
  text: "This gateway serves no model. Start it with a model repository that has one.",
  remedy: "retry",
  retryMilliseconds: 2 * AGAIN,
};

export function failureOf(error: unknown): Failure {
  if (error instanceof FileError) return { text: error.message, remedy: "stop" };
  const known = error instanceof MaskweaveError ? error : undefined;
  const { reason, retryAfterMs: retryMilliseconds } = known ?? {};
  const said = sentence(known?.message ?? "");
  switch (known?.code) {
    case Code.Unauthenticated:
      return {
        text: "This gateway asks for a key. Enter one that it knows; it is kept in this tab only until you close it.",
        remedy: "key",
      };
    case Code.PermissionDenied:
      return { text: `This key is not allowed to do that. ${said} Enter another key.`, remedy: "key" };
    case Code.ResourceExhausted:
      if (reason === "QUOTA_EXCEEDED")
        return again("Your key has reached its limit. Painting goes on by itself as soon as it may.", retryMilliseconds);
      if (retryMilliseconds === undefined && /larger|too (large|big)|exceed/i.test(said))
        return { text: `That is too large for the gateway. ${said}`, remedy: "stop" };
      return again("The gateway is busy. Painting goes on by itself as soon as there is room.", retryMilliseconds);
    case Code.InvalidArgument:
    case Code.FailedPrecondition:
    case Code.OutOfRange:
      return { text: `The gateway cannot take this as it is. ${said} Change it, or undo.`, remedy: "stop", unknown: true };
    case Code.NotFound:
      return { text: `${said} Choose another model.`, remedy: "stop", unknown: true };
    case Code.Unimplemented:
      return { text: "This gateway is older than this page and cannot do that.", remedy: "stop" };
    case Code.DeadlineExceeded:
      if (reason === "SESSION_IDLE") return { text: "", remedy: "retry", retryMilliseconds: 0, idle: true };
      return again("The gateway took too long. Trying again.", retryMilliseconds);
    case Code.Internal:
    case Code.DataLoss:
      return again("The model failed; the gateway's log says why. Trying again.", retryMilliseconds ?? 4000);
    default:
      return again(
        "The gateway does not answer. Is it still running? What you have drawn stays here, and painting goes on when it is back.",
        retryMilliseconds,
      );
  }
}

function again(text: string, retryMilliseconds = AGAIN): Failure {
  return { text, remedy: "retry", retryMilliseconds };
}

function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return "";
  return (trimmed[0]!.toUpperCase() + trimmed.slice(1)).replace(/[^.!?]$/, "$&.");
}
