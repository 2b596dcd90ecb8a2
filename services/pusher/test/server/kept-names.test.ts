import { Client, credentials, status, type StatusObject } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesPerStream } from '../../src/session/kept-names.ts';
import { EDS } from '../session/support.ts';
import { deltaAds, node } from '../support/client.ts';
import { run, until, type Running } from '../support/world.ts';

const MiB = 1024 * 1024;
const maxIdentityBytes = 3 * MiB;

/** Names of 0.6 MiB, with what each takes. */
function some(prefix: string): string[] {
  return Array.from({ length: 600 }, (_, i) => `${prefix}${i}-`.padEnd(856, 'x'));
}

describe.each(['net', 'http2', 'grpc-js'] as const)(
  'by %s, names of one connection',
  (transport) => {
    let running: Running;
    let clients: Client[];

    beforeEach(async () => {
      running = await run({ transport, options: { maxNameBytes: 2 * MiB, maxIdentityBytes } });
      clients = [];
    });

    afterEach(async () => {
      for (const client of clients) client.close();
      await running.stop();
    });

    function connect(): Client {
      const client = new Client(`127.0.0.1:${running.port}`, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      clients.push(client);
      return client;
    }

    /** Asks for some names on a stream of its own. */
    function ask(client: Client, prefix: string) {
      const call = client.makeBidiStreamRequest(
        deltaAds,
        (one: DeltaDiscoveryRequest) => Buffer.from(DeltaDiscoveryRequest.encode(one).finish()),
        (bytes: Buffer) => DeltaDiscoveryResponse.decode(bytes),
      );
      call.on('error', () => undefined);
      call.on('data', () => undefined);
      const resourceNamesSubscribe = some(prefix);
      const more = { node: node(), typeUrl: EDS, resourceNamesSubscribe };
      call.write(DeltaDiscoveryRequest.fromPartial(more));
      const ended = new Promise<StatusObject>((resolve) => call.on('status', resolve));
      return { call, ended };
    }

    const streams = (): number => running.pusher.hub.streams.size;
    const settled = (count: number): Promise<void> =>
      until(`${count} streams have asked`, () => {
        const asked = [...running.pusher.hub.streams].filter(
          ({ assignments }) => assignments?.size === 600,
        );
        return asked.length === count;
      });

    it('are refused on the stream that asks for too many; its others and others go on', async () => {
      const client = connect();
      const asked = ['a', 'b', 'c'].map((prefix) => ask(client, prefix));
      await settled(3);
      const { code, details } = await ask(client, 'd').ended;
      expect(code).toBe(status.RESOURCE_EXHAUSTED);
      expect(details).toBe(`more than ${2 * MiB} bytes of names on one connection`);
      const told = running.logs.filter((line) => line.includes(details));
      expect(told).toHaveLength(1);
      expect(await running.metrics.text()).toContain(
        'watershed_xds_bad_requests_total{code="resource-exhausted"} 1',
      );
      ask(connect(), 'e');
      await settled(4);
      // What a stream kept is free when it is over.
      asked[0]?.call.cancel();
      await until('it is over', () => streams() === 3);
      ask(client, 'f');
      await settled(4);
    });

    it('are refused, as streams are, where all connections of an identity have too many', async () => {
      for (const prefix of ['a', 'b', 'c', 'd']) ask(connect(), prefix);
      await settled(4);
      // Who shows none is known by his address.
      const refusal = `more than ${maxIdentityBytes} bytes of streams and names of 127.0.0.1`;
      const { code, details } = await ask(connect(), 'e').ended;
      expect([code, details]).toEqual([status.RESOURCE_EXHAUSTED, refusal]);
      const counted = await running.metrics.value('watershed_xds_identity_bytes');
      expect(counted).toBeLessThanOrEqual(maxIdentityBytes);
      const more = Math.floor((maxIdentityBytes - counted) / bytesPerStream);
      const client = connect();
      for (let i = 0; i < more; i++) ask(client, 'a');
      await until('they are there', () => streams() === 4 + more);
      expect((await ask(connect(), 'a').ended).details).toBe(refusal);
      await settled(4 + more);
    });
  },
);
