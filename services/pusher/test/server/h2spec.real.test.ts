import { systemTime } from '@watershed/runtime/clock.ts';
import { afterAll, expect, it } from 'vitest';
import { runH2spec } from '../../../../test/components/h2spec.ts';
import type { RpcServer } from '../../src/server/port.ts';
import { createRpcServer, type Transport } from '../../src/server/transports.ts';
import { callUnary } from '../support/rpc.ts';
import { loggerInto } from '../support/world.ts';
import { healthRows } from '../../src/server/health.ts';
import { ServingState } from '../../src/serving.ts';
import { HealthCheckRequest, HealthCheckResponse } from '@watershed/proto/grpc/health/v1/health.ts';

const forgotten = 'nghttp2 forgets a stream once it is closed, and drops what comes for it';
const priorities = 'RFC 9113 5.3.2 took priorities out of HTTP/2; nghttp2 ignores them';
const refused = 'a GET is refused with 405 and no body; h2spec waits for DATA';

/** What may fail, and why we let it. Frames that are ignored cost the server nothing. */
const knownOfNode: Readonly<Record<string, string>> = {
  'generic 2/2': refused,
  'generic 2/3': refused,
  // A stream is half closed only until it is answered.
  'http2 5.1/5': `sometimes: ${forgotten}`,
  'http2 5.1/6': `sometimes: ${forgotten}`,
  'http2 5.1/7': `sometimes: ${forgotten}`,
  'http2 5.1/8': forgotten,
  'http2 5.1/9': forgotten,
  'http2 5.1/11': forgotten,
  'http2 5.1/12': forgotten,
  'http2 5.1.1/2': `a smaller number is that of a closed stream: ${forgotten}`,
  'http2 5.1.2/1': 'each GET is answered and over before the limit is reached; see hostile.test.ts',
  'http2 5.3.1/1': priorities,
  'http2 5.3.1/2': priorities,
  'http2 6.1/2': `sometimes: ${forgotten}`,
  'http2 6.3/1': priorities,
  'http2 6.7/2': 'node closes the connection on an answer to a PING that was not sent',
  'http2 6.9.1/3': 'node closes the connection, not the stream alone',
};

const servers: RpcServer[] = [];

afterAll(async () => {
  for (const server of servers) await server.stop(AbortSignal.timeout(500));
});

async function start(transport: Transport): Promise<number> {
  const serving = new ServingState();
  serving.set(true);
  const server = createRpcServer(transport, {
    methods: healthRows(serving, new Set()).flatMap((row) =>
      row.access === 'public' ? [{ path: row.path, open: row.open }] : [],
    ),
    time: systemTime,
    logger: loggerInto([]),
  });
  servers.push(server);
  return server.listen('127.0.0.1', 0);
}

it.each([
  ['net', {}],
  ['http2', knownOfNode],
] as const)('HTTP/2 by %s is as h2spec wants it, but for %j', async (transport, known) => {
  const port = await start(transport);
  const { cases, failed } = await runH2spec(port);
  expect(cases).toBeGreaterThan(140);
  expect(failed.filter((one) => !(one in known))).toEqual([]);
  const health = {
    path: '/grpc.health.v1.Health/Check',
    request: HealthCheckRequest,
    response: HealthCheckResponse,
  };
  expect(await callUnary(port, health, { service: '' })).toEqual({ status: 1 });
});
