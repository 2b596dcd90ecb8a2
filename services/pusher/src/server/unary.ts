import type { ServingState } from '../serving.ts';
import { stopping } from './lasting.ts';
import { status, type CallHandler, type ServerCall, type Status } from './port.ts';

/** What a unary method makes of its request; `closed`: nobody waits for the answer any more. */
export interface Answering {
  closed?(): void;
}

const ok: Status = { code: status.ok, message: '' };

/**
 * A call of one request and one response. `answer` gets the request (valid during the call only)
 * and replies with a framed message, or ends the call itself, at once or later. The reply goes when
 * the client has said that this was all: none, or another one, is an error. It is INTERNAL, as in
 * grpc-go (stream.go, "cardinality violation"): gRPC's statuscodes.md has UNIMPLEMENTED, which
 * makes clients believe that the method is not there (grpc/grpc-java#11247).
 *
 * An ordered stop waits for the answer of who has said all, and for nobody else.
 */
export function unary(
  call: ServerCall,
  serving: ServingState,
  answer: (request: Uint8Array, reply: (framed: Uint8Array) => void) => Answering | undefined,
): CallHandler {
  let asked = false;
  let saidAll = false;
  let over = false;
  let held: Uint8Array | undefined;
  let answering: Answering | undefined;
  const forget = serving.endWith(() => {
    if (!saidAll) call.end(stopping);
  });
  const reply = (framed: Uint8Array): void => {
    if (!saidAll) {
      held = framed;
      return;
    }
    call.write(framed);
    call.end(ok);
  };
  return {
    message: (bytes) => {
      if (asked) {
        call.end({ code: status.internal, message: 'more than one request' });
        return;
      }
      asked = true;
      answering = answer(bytes, reply);
      // It was ended at once.
      if (over) answering?.closed?.();
    },
    halfClosed: () => {
      saidAll = true;
      if (!asked) call.end({ code: status.internal, message: 'no request' });
      else if (held !== undefined) reply(held);
    },
    drain: () => undefined,
    closed: () => {
      over = true;
      forget();
      answering?.closed?.();
    },
  };
}

/** A message with gRPC's prefix, as it goes out. */
export function framed(message: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(5 + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  out.set(message, 5);
  return out;
}
