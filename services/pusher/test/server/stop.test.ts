/** An ordered stop waits for no client that has not said all. */
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { afterEach, describe, expect, it } from 'vitest';
import type { CallHandler, ServerCall } from '../../src/server/port.ts';
import { createRpcServer, transports, type Transport } from '../../src/server/transports.ts';
import { framed, unary } from '../../src/server/unary.ts';
import { ServingState } from '../../src/serving.ts';
import { node } from '../support/client.ts';
import { loggerInto, run, until, type Running } from '../support/world.ts';

const open: ClientHttp2Session[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.destroy();
  await running?.stop();
  running = undefined;
});

const path = '/a.B/C';
const clusters = '/envoy.service.cluster.v3.ClusterDiscoveryService';
const sotw = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ node: node() })).finish();
const delta = DeltaDiscoveryRequest.encode(
  DeltaDiscoveryRequest.fromPartial({ node: node() }),
).finish();

/** What clients may ask, and with what. */
const methods = [
  ['/grpc.health.v1.Health/Check', new Uint8Array()],
  ['/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus', new Uint8Array()],
  [`${clusters}/FetchClusters`, sotw],
  [`${clusters}/StreamClusters`, sotw],
  [`${clusters}/DeltaClusters`, delta],
] as const;

function connected(port: number): ClientHttp2Session {
  const client = connect(`http://127.0.0.1:${port}`);
  client.on('error', () => undefined);
  open.push(client);
  return client;
}

interface Call {
  readonly stream: ClientHttp2Stream;
  isOpen: boolean;
  said: string;
  status: string;
}

/** A call whose client does not end its side. */
function call(
  client: ClientHttp2Session,
  transport: Transport,
  path: string,
  request?: Uint8Array,
): Call {
  const headers = {
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: 'Bearer token',
  };
  const stream = client.request({ ':method': 'POST', ':path': path, ...headers });
  const made: Call = { stream, isOpen: false, said: '', status: '' };
  const told = ({
    'grpc-status': status,
    'grpc-message': message = '',
  }: IncomingHttpHeaders): void => {
    if (typeof status !== 'string' || typeof message !== 'string') return;
    made.status = `${status} ${decodeURI(message)}`;
    // The library waits for it, where the other two give it a moment. Clients do it at once.
    if (transport === 'grpc-js') stream.end();
  };
  stream.on('response', (response) => {
    made.isOpen = true;
    told(response);
  });
  stream.on('trailers', told);
  stream.on('data', (bytes: Buffer) => (made.said += bytes.toString('latin1')));
  stream.on('error', () => undefined);
  if (request !== undefined) stream.write(framed(request));
  return made;
}

const heard = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 50);
  });

describe.each(transports)('an ordered stop over %s', (transport) => {
  it.each([
    ['no message', false],
    ['one message', true],
  ])('ends calls with %s at once', async (_, asks) => {
    running = await run({ transport });
    const { pusher, port } = running;
    const client = connected(port);
    const calls = methods.map(([path, request]) =>
      call(client, transport, path, asks ? request : undefined),
    );
    await until('all are open', () => calls.every(({ isOpen }) => isOpen));
    await heard();
    const bound = AbortSignal.timeout(5_000);
    await pusher.stop(bound);
    expect(bound.aborted).toBe(false);
    const stopping = '14 this replica is stopping';
    await until('all are ended', () => calls.every(({ status }) => status !== ''));
    expect(calls.map(({ status }) => status)).toEqual(calls.map(() => stopping));
  });

  it('waits for no answer to who somebody is', async () => {
    let asked = 0;
    const verifyToken = (): Promise<never> => {
      asked++;
      return new Promise(() => undefined);
    };
    const none = new Set<string>();
    const policy = { gatewayAccounts: none, nodeAccounts: none, operatorNamespaces: none };
    const identity = { trustDomains: [], policy, verifyToken, plaintextNeedsToken: true };
    running = await run({ transport, identity });
    const client = connected(running.port);
    const made = call(client, transport, `${clusters}/DeltaClusters`, delta);
    await until('it is asked', () => asked === 1);
    const bound = AbortSignal.timeout(5_000);
    await running.pusher.stop(bound);
    expect(bound.aborted).toBe(false);
    await until('it is ended', () => made.status === '14 this replica is stopping');
  });

  /** Its one method is answered by `replies`. */
  async function start() {
    const serving = new ServingState();
    const replies: ((bytes: Uint8Array) => void)[] = [];
    const open = (opened: ServerCall): CallHandler =>
      unary(opened, serving, (_, reply) => {
        replies.push(reply);
        return undefined;
      });
    const methods = [{ path, open }];
    const server = createRpcServer(transport, {
      methods,
      time: systemTime,
      logger: loggerInto([]),
    });
    const client = connected(await server.listen('127.0.0.1', 0));
    return { serving, replies, server, client };
  }

  it('waits for the answer to who has said all', async () => {
    const { serving, replies, server, client } = await start();
    const [whole, half] = [
      call(client, transport, path, sotw),
      call(client, transport, path, sotw),
    ];
    whole.stream.end();
    await until('both have asked', () => replies.length === 2);
    await heard();
    const bound = AbortSignal.timeout(5_000);
    serving.stop();
    const stopped = server.stop(bound);
    await until('one is ended', () => half.status === '14 this replica is stopping');
    for (const reply of replies) reply(framed(Buffer.from('answered')));
    await stopped;
    expect(bound.aborted).toBe(false);
    await until('the other is answered', () => whole.status !== '');
    expect(whole.status).toMatch(/^0 /u);
    expect([whole.said.slice(5), half.said]).toEqual(['answered', '']);
  });

  it('is over when its time is, whoever is left', async () => {
    const { replies, server, client } = await start();
    const { stream } = call(client, transport, path, sotw);
    await until('it has asked', () => replies.length === 1);
    await server.stop(AbortSignal.timeout(100));
    await until('it is cut', () => stream.destroyed);
  });
});
