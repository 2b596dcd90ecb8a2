import type { ServingState } from '../serving.ts';
import { status, type CallHandler, type ServerCall, type Status } from './port.ts';

/**
 * A call that its client may keep open for ever: an ordered stop ends it, as the hub ends streams
 * of xDS, and does not wait for it.
 */
export function lasting(
  call: ServerCall,
  serving: ServingState,
  handler: CallHandler,
): CallHandler {
  const forget = serving.endWith(() => call.end(stopping));
  return {
    ...handler,
    closed: () => {
      forget();
      handler.closed();
    },
  };
}

export const stopping: Status = { code: status.unavailable, message: 'this replica is stopping' };
