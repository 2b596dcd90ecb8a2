import { systemTime } from '@watershed/runtime/clock.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runH2spec } from '../../../../test/components/h2spec.ts';
import { Http2RpcServer } from '../../src/server/http2-server.ts';
import { callUnary } from '../support/rpc.ts';
import { loggerInto } from '../support/world.ts';
import { healthRows } from '../../src/server/health.ts';
import { ServingState } from '../../src/serving.ts';
import { HealthCheckRequest, HealthCheckResponse } from '@watershed/proto/grpc/health/v1/health.ts';

const forgotten = 'nghttp2 forgets a stream once it is closed, and drops what comes for it';
const priorities = 'RFC 9113 5.3.2 took priorities out of HTTP/2; nghttp2 ignores them';
const refused = 'a GET is refused with 405 and no body; h2spec waits for DATA';

/** What may fail, and why we let it. Frames that are ignored cost the server nothing. */
const known: Readonly<Record<string, string>> = {
  'generic 2/2': refused,
  'generic 2/3': refused,
  'http2 5.1/8': forgotten,
  'http2 5.1/9': forgotten,
  'http2 5.1/11': forgotten,
  'http2 5.1/12': forgotten,
  'http2 5.1.1/2': `a smaller number is that of a closed stream: ${forgotten}`,
  'http2 5.1.2/1': 'each GET is answered and over before the limit is reached; see hostile.test.ts',
  'http2 5.3.1/1': priorities,
  'http2 5.3.1/2': priorities,
  'http2 6.3/1': priorities,
  'http2 6.7/2': 'node closes the connection on an answer to a PING that was not sent',
  'http2 6.9.1/3': 'node closes the connection, not the stream alone',
};

let server: Http2RpcServer;
let port = 0;

beforeAll(async () => {
  const serving = new ServingState();
  serving.set(true);
  server = new Http2RpcServer({
    methods: healthRows(serving, new Set()).flatMap((row) =>
      row.access === 'public' ? [{ path: row.path, open: row.open }] : [],
    ),
    timers: systemTime,
    logger: loggerInto([]),
  });
  port = await server.listen('127.0.0.1', 0);
});

afterAll(() => server.stop(AbortSignal.timeout(500)));

it('HTTP/2 is as h2spec wants it, but for what is listed with a reason', async () => {
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
