/** CSDS: what each connected client holds, for people and tools. */
import { toOperatingError } from '@watershed/runtime/errors.ts';
import type { Hub } from '../push/hub.ts';
import type { ServingState } from '../serving.ts';
import type { Row } from './guard.ts';
import { lasting } from './lasting.ts';
import { status, type CallHandler, type ServerCall, type Status } from './port.ts';
import { framed, unary } from './unary.ts';

const service = 'envoy.service.status.v3.ClientStatusDiscoveryService';

export function clientStatusRows(hub: Hub, serving: ServingState): readonly Row[] {
  /** `request` is valid during the call only. */
  const answer = async (request: Uint8Array): Promise<Uint8Array> => {
    const kept = Uint8Array.from(request);
    // Codecs that are loaded when somebody looks, and not before.
    const { clientStatus } = await import('../debug/client-status.ts');
    return framed(clientStatus(hub.streams, kept));
  };
  return [
    {
      path: `/${service}/FetchClientStatus`,
      access: 'operator',
      open: (call) =>
        unary(call, serving, (request, reply) => {
          answer(request).then(reply, (error: unknown) => call.end(statusOf(error)));
          return undefined;
        }),
    },
    {
      path: `/${service}/StreamClientStatus`,
      access: 'operator',
      open: (call) => lasting(call, serving, watch(call, answer)),
    },
  ];
}

/** One answer to each request, the newest first where a client asks faster than it reads. */
function watch(
  call: ServerCall,
  answer: (request: Uint8Array) => Promise<Uint8Array>,
): CallHandler {
  let busy = false;
  let ended = false;
  let next: Uint8Array | undefined;
  const done = (): void => {
    busy = false;
    if (next !== undefined) serve(next);
    else if (ended) call.end({ code: status.ok, message: '' });
  };
  const serve = (request: Uint8Array): void => {
    busy = true;
    next = undefined;
    void reply(request);
  };
  const reply = async (request: Uint8Array): Promise<void> => {
    try {
      if (call.write(await answer(request))) done();
    } catch (error) {
      call.end(statusOf(error));
    }
  };
  return {
    message: (bytes) => {
      if (busy) next = Uint8Array.from(bytes);
      else serve(bytes);
    },
    halfClosed: () => {
      ended = true;
      if (!busy) done();
    },
    drain: () => {
      if (busy) done();
    },
    closed: () => {
      next = undefined;
    },
  };
}

function statusOf(error: unknown): Status {
  const { code, message } = toOperatingError(error);
  if (code === 'invalid') return { code: status.invalidArgument, message };
  return { code: code === 'too-large' ? status.resourceExhausted : status.internal, message };
}
