import { Unauthenticated, type Authenticator } from '../identity/authenticator.ts';
import type { Caller } from '../identity/caller.ts';
import type { ServingState } from '../serving.ts';
import { stopping } from './lasting.ts';
import { status, type CallHandler, type Method, type ServerCall } from './port.ts';

/** Who may call a method. */
export type Row =
  | {
      readonly path: string;
      /** Everybody: it tells nothing of configuration. */
      readonly access: 'public';
      open(call: ServerCall): CallHandler;
    }
  | {
      readonly path: string;
      /**
       * `proxy`: whoever is authenticated, and gets what is his by `Caller.claim`. `operator`:
       * whoever may see what is served to others.
       */
      readonly access: 'proxy' | 'operator';
      open(call: ServerCall, caller: Caller): CallHandler;
    };

export type RefusalReason = 'unauthenticated' | 'denied';

export interface GuardOptions {
  readonly authenticator: Authenticator;
  readonly serving: ServingState;
  readonly onRefused: (call: ServerCall, reason: RefusalReason, message: string) => void;
}

/** Of what anybody may ask: names. */
const publicBytes = 4 * 1024;

/** A table's rows as methods to be served: none without its guard. */
export function guarded(rows: readonly Row[], options: GuardOptions): readonly Method[] {
  return rows.map((row): Method => {
    const { path } = row;
    if (row.access === 'public') {
      return { path, maxMessageBytes: publicBytes, open: (call) => row.open(call) };
    }
    const opened = (call: ServerCall, caller: Caller): CallHandler => {
      if (row.access === 'operator' && !caller.mayOperate) {
        const message = `${caller.account || 'an anonymous client'} may not see others' state`;
        options.onRefused(call, 'denied', message);
        return refuse(call, status.permissionDenied, message);
      }
      return row.open(call, caller);
    };
    return { path, open: (call) => open(call, opened, options) };
  });
}

type Opened = (call: ServerCall, caller: Caller) => CallHandler;

function open(
  call: ServerCall,
  opened: Opened,
  { authenticator, serving, onRefused }: GuardOptions,
): CallHandler | Promise<CallHandler> {
  const unknown = (error: unknown): CallHandler => {
    if (!(error instanceof Unauthenticated)) throw error;
    onRefused(call, 'unauthenticated', error.message);
    return refuse(call, status.unauthenticated, error.message);
  };
  const onDenied = (message: string): void => onRefused(call, 'denied', message);
  try {
    const found = authenticator.authenticate(call.peer, call.header('authorization'), onDenied);
    if (!(found instanceof Promise)) return opened(call, found);
    const forget = serving.endWith(() => call.end(stopping));
    return found.finally(forget).then((caller) => opened(call, caller), unknown);
  } catch (error) {
    return unknown(error);
  }
}

function refuse(
  call: ServerCall,
  code: typeof status.unauthenticated | typeof status.permissionDenied,
  message: string,
): CallHandler {
  call.end({ code, message });
  return ignored;
}

const ignored: CallHandler = {
  message: () => undefined,
  halfClosed: () => undefined,
  drain: () => undefined,
  closed: () => undefined,
};
