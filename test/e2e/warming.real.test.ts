import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  Cluster,
  Cluster_DiscoveryType,
} from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { nameField } from '@watershed/pusher/wire.ts';
import { afterEach, expect, test } from 'vitest';
import { startTestEnvoy, type TestEnvoy } from '../components/envoy.ts';
import { nodeId, protocols, type Protocol } from './harness/proxy.ts';
import { xdsctl } from './harness/xdsctl.ts';

/**
 * What Envoy does when a Cluster changes and its assignment does not follow. Decision 5 stands on
 * it, so it is asked of the Envoy that we test with, by a server that does what we never do.
 */
const name = 'watched';
let server: Http2Server | undefined;
let proxy: TestEnvoy | undefined;

afterEach(async () => {
  await proxy?.stop();
  server?.close();
});

/** Sends what it is told, and nothing by itself; ACKs are of no interest to it. */
class Plain {
  /** Types of requests that are no ACKs. */
  readonly asked: string[] = [];
  #stream: ServerHttp2Stream | undefined;
  #nonce = 0;
  readonly #protocol: Protocol;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  async listen(): Promise<number> {
    server = createServer();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.on('error', () => undefined);
      this.#stream = stream;
      let pending = Buffer.alloc(0);
      stream.on('data', (chunk: Buffer) => {
        pending = Buffer.concat([pending, chunk]);
        while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
          const end = 5 + pending.readUInt32BE(1);
          this.#take(pending.subarray(5, end));
          pending = pending.subarray(end);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP server');
    return address.port;
  }

  #take(bytes: Buffer): void {
    const { typeUrl, responseNonce } =
      this.#protocol === 'delta'
        ? DeltaDiscoveryRequest.decode(bytes)
        : DiscoveryRequest.decode(bytes);
    if (responseNonce === '') this.asked.push(typeUrl);
  }

  /** The stream breaks; the proxy comes back with a new one. */
  cut(): void {
    this.asked.length = 0;
    this.#stream?.close();
  }

  /** Delta: it is gone. */
  remove(typeUrl: string): void {
    this.#write(
      DeltaDiscoveryResponse.encode(
        DeltaDiscoveryResponse.fromPartial({
          ...{ typeUrl, nonce: String(++this.#nonce) },
          removedResources: [name],
        }),
      ).finish(),
    );
  }

  send(typeUrl: string, version: string, value: Uint8Array): void {
    const nonce = String(++this.#nonce);
    const any = { typeUrl, value };
    const bytes =
      this.#protocol === 'delta'
        ? DeltaDiscoveryResponse.encode(
            DeltaDiscoveryResponse.fromPartial({
              ...{ typeUrl, nonce },
              resources: [{ name, version, resource: any }],
            }),
          ).finish()
        : DiscoveryResponse.encode(
            DiscoveryResponse.fromPartial({
              ...{ typeUrl, nonce, versionInfo: version },
              resources: [any],
            }),
          ).finish();
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    const frame = Buffer.alloc(5 + bytes.length);
    frame.writeUInt32BE(bytes.length, 1);
    frame.set(bytes, 5);
    this.#stream?.write(frame);
  }
}

const cluster = (timeoutSeconds: number): Uint8Array =>
  Cluster.encode(
    Cluster.fromPartial({
      name,
      clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.EDS },
      connectTimeout: { seconds: timeoutSeconds, nanos: 0 },
      edsClusterConfig: {
        edsConfig: {
          resourceApiVersion: 2,
          initialFetchTimeout: { seconds: 3, nanos: 0 },
          configSourceSpecifier: { $case: 'ads', value: {} },
        },
      },
    }),
  ).finish();

const assignment = ClusterLoadAssignment.encode(
  ClusterLoadAssignment.fromPartial({
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: [
          {
            hostIdentifier: {
              $case: 'endpoint',
              value: {
                address: {
                  address: {
                    $case: 'socketAddress',
                    value: {
                      address: '127.0.0.1',
                      portSpecifier: { $case: 'portValue', value: 9 },
                    },
                  },
                },
              },
            },
          },
        ],
      },
    ],
  }),
).finish();

test.each(protocols)(
  'rule 27: over %s a changed Cluster warms until its unchanged assignment is sent again',
  async (protocol) => {
    const plain = new Plain(protocol);
    const port = await plain.listen();
    const bootstrap = await xdsctl(
      ...['bootstrap', 'envoy', '--node', nodeId({ type: 'router', workload: 'gw.edge' })],
      ...['--admin-port', '0', '--xds-address', `127.0.0.1:${port}`],
      ...(protocol === 'delta' ? ['--delta'] : []),
    );
    proxy = await startTestEnvoy({ bootstrap });
    const { envoy } = proxy;
    const { cluster: cds, endpoint: eds, listener: lds } = resourceTypes;
    const members = (): Promise<number> => envoy.admin.stat(`cluster.${name}.membership_total`);
    const warming = (): Promise<number> => envoy.admin.stat('cluster_manager.warming_clusters');
    /** How often it waited in vain, and went on with what it had. */
    const cached = (): Promise<number> => envoy.admin.stat(`cluster.${name}.assignment_use_cached`);
    await envoy.waitFor('to ask for clusters', () => plain.asked.includes(cds));
    plain.send(cds, '1', cluster(1));
    await envoy.waitFor('to ask for its endpoints', () => plain.asked.includes(eds));
    plain.send(eds, '1', assignment);
    await envoy.waitFor('to have the endpoint', async () => (await members()) === 1);
    // With the first clusters warm it asks for this, which would count as asked below.
    await envoy.waitFor('to ask for listeners', () => plain.asked.includes(lds));

    plain.asked.length = 0;
    plain.send(cds, '2', cluster(2));
    await envoy.waitFor('to warm', async () => (await warming()) === 1);
    await sleep(500);
    // It does not ask: the server must know.
    expect(plain.asked).toEqual([]);
    expect(await warming()).toBe(1);
    plain.send(eds, '1', assignment);
    await envoy.waitFor('to be warm', async () => (await warming()) === 0);
    expect(await members()).toBe(1);
    expect(await cached()).toBe(0);

    // Its cache of assignments helps only where nothing comes in time.
    plain.send(cds, '3', cluster(3));
    await envoy.waitFor('to warm', async () => (await warming()) === 1);
    await envoy.waitFor('to give up', async () => (await warming()) === 0);
    expect(await members()).toBe(1);
    expect(await cached()).toBe(1);

    // Who comes back while it warms asks for no clusters, and says that it has the assignment.
    plain.send(cds, '4', cluster(4));
    await envoy.waitFor('to warm', async () => (await warming()) === 1);
    plain.cut();
    await envoy.waitFor('to come back', () => plain.asked.includes(lds));
    expect(plain.asked).toContain(eds);
    expect(plain.asked).not.toContain(cds);
    plain.send(eds, '1', assignment);
    await envoy.waitFor('to ask for clusters again', () => plain.asked.includes(cds));
    expect(await warming()).toBe(0);
    if (protocol !== 'delta') return;

    // Or it is told that there is none: it waits no longer. Its gauge still tells the old one's.
    plain.send(cds, '5', cluster(5));
    await envoy.waitFor('to warm', async () => (await warming()) === 1);
    plain.cut();
    await envoy.waitFor('to come back', () => plain.asked.includes(lds));
    expect(await envoy.admin.clusters()).toContain(`${name}::127.0.0.1:9::`);
    plain.remove(eds);
    await envoy.waitFor('to ask for clusters again', () => plain.asked.includes(cds));
    expect(await warming()).toBe(0);
    expect(await envoy.admin.clusters()).not.toContain(`${name}::127.0.0.1:9::`);

    // One that does not warm keeps what it has, where an empty assignment would take it away.
    plain.send(eds, '1', assignment);
    const has = async (): Promise<boolean> =>
      (await envoy.admin.clusters()).includes(`${name}::127.0.0.1:9::`);
    await envoy.waitFor('to have the endpoint', has);
    plain.remove(eds);
    await sleep(300);
    expect(await has()).toBe(true);
    plain.send(eds, '2', nameField(name));
    await envoy.waitFor('to have no endpoint', async () => !(await has()));
  },
);
