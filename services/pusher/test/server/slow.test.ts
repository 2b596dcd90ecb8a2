import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { transports } from '../../src/server/transports.ts';
import { CDS } from '../session/support.ts';
import { contentOf, deltaAds, DeltaClient, node } from '../support/client.ts';
import { LeapingTime } from '../support/leaping-time.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

/** Large enough that a few fill every buffer between the two. */
const big = (version: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`c${i}`, version + 'x'.repeat(100_000)]));

/** gRPC by hand: the library reads ahead by a dozen messages. It ACKs when it is told to. */
class RawClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  #pending: Buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.#session = connect(`http://127.0.0.1:${port}`);
    this.#session.on('error', () => undefined);
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': deltaAds,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('error', () => undefined);
    this.#send(DeltaDiscoveryRequest.fromPartial({ node: node(), typeUrl: CDS }));
    this.#stream.on('data', (chunk: Buffer) => this.#data(chunk));
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The newest response. */
  ack(): void {
    const responseNonce = this.responses.at(-1)?.nonce ?? '';
    this.#send(DeltaDiscoveryRequest.fromPartial({ typeUrl: CDS, responseNonce }));
  }

  close(): void {
    this.#session.destroy();
  }

  #send(request: DeltaDiscoveryRequest): void {
    const bytes = DeltaDiscoveryRequest.encode(request).finish();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    this.#stream.write(Buffer.concat([head, bytes]));
  }

  #data(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 5) {
      const end = 5 + this.#pending.readUInt32BE(1);
      if (this.#pending.length < end) return;
      this.responses.push(DeltaDiscoveryResponse.decode(this.#pending.subarray(5, end)));
      this.#pending = this.#pending.subarray(end);
    }
  }
}

describe.each(transports)('a client that stops reading, over %s', (transport) => {
  it('delays nobody else, and later gets the newest and nothing in between', async () => {
    running = await run({ transport, sessionLimits: { ackWaitMs: 50 } });
    const { translator, port } = running;
    await translator.publish({ [CDS]: big('0') }, scopes);
    const slow = new RawClient(port);
    const quick = new DeltaClient(port);
    open.push(slow, quick);
    quick.request(CDS);
    quick.ack(await quick.next());
    await until('the first response', () => slow.responses.length === 1);
    slow.pause();
    const rounds = 8;
    for (let round = 1; round <= rounds; round++) {
      await translator.publish({ [CDS]: big(String(round)) }, scopes);
      quick.ack(await quick.next());
    }
    slow.resume();
    await until('the slow one has the newest', () => {
      const last = slow.responses.at(-1);
      return last !== undefined && contentOf(last)['c0']?.startsWith(String(rounds)) === true;
    });
    expect(slow.responses.length).toBeLessThan(rounds / 2);
  });
});

describe.each(transports)('clients that stop reading amid churn, over %s', (transport) => {
  it('cost no push, no encoding and no bytes until they read again, and then one for all', async () => {
    running = await run({ transport, sessionLimits: { ackWaitMs: 600_000 } });
    const { translator, port, metrics, pusher } = running;
    await translator.publish({ [CDS]: big('0') }, scopes);
    const stuck = Array.from({ length: 5 }, () => new RawClient(port));
    const quick = new DeltaClient(port);
    open.push(...stuck, quick);
    quick.request(CDS);
    quick.ack(await quick.next());
    await until('all have it', () => stuck.every(({ responses }) => responses.length === 1));
    for (const one of stuck) one.pause();
    const spent = async (): Promise<Record<string, number | undefined>> => ({
      pushes: await metrics.value('pilot_xds_pushes', { type: 'cds' }),
      encodings: await metrics.value('watershed_encodings_total', { type: 'cds-response' }),
      bytes: await metrics.value('watershed_pushed_bytes_total', { type: 'cds' }),
    });
    const before = await spent();
    const rounds = 5;
    for (let round = 1; round <= rounds; round++) {
      await translator.publish({ [CDS]: big(String(round)) }, scopes);
      quick.ack(await quick.next());
    }
    const after = await spent();
    const difference = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
    expect(difference('pushes')).toBe(rounds);
    expect(difference('encodings')).toBe(rounds);
    expect(difference('bytes')).toBeLessThan((rounds + 1) * 8 * 100_100);
    // What each of them has pending is one response, and none waits in a queue of its own.
    for (const { session } of pusher.hub.streams) {
      for (const { outstanding } of session?.types() ?? []) {
        expect(outstanding.length).toBeLessThanOrEqual(1);
      }
    }
    for (const one of stuck) one.resume();
    for (const one of stuck) one.ack();
    await until('all have the newest', () =>
      stuck.every(({ responses }) => {
        const last = responses.at(-1);
        return last !== undefined && contentOf(last)['c0']?.startsWith(String(rounds)) === true;
      }),
    );
    for (const { responses } of stuck) expect(responses).toHaveLength(2);
    expect(((await spent())['encodings'] ?? 0) - (after['encodings'] ?? 0)).toBe(1);
  });
});

it('a client that takes nothing for too long is cut off', async () => {
  const time = new LeapingTime();
  const sendTimeoutMs = 5_000;
  running = await run({ time, sendTimeoutMs, sessionLimits: { ackWaitMs: 10 } });
  const { translator, port, metrics } = running;
  await translator.publish({ [CDS]: big('0') }, scopes);
  const slow = new RawClient(port);
  open.push(slow);
  await until('the first response', () => slow.responses.length === 1);
  slow.pause();
  let round = 0;
  await until('it is cut off', async () => {
    await translator.publish({ [CDS]: big(String(++round)) }, scopes);
    time.leap(sendTimeoutMs);
    return (await metrics.value('pilot_xds_write_timeout')) === 1;
  });
  expect(running.pusher.hub.streams.size).toBe(0);
});
