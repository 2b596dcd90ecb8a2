import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { KafkaClient } from '../src/kafka/client.ts';
import { realTime } from './support.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** What stands where a broker should, and takes connections. */
async function listen(taken: (socket: Socket, count: number) => void): Promise<number> {
  let count = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    taken(socket, ++count);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const closes = (socket: Socket): void => void socket.destroy();
const saysNothing = (): void => undefined;

function clientOf(ports: readonly number[]): KafkaClient {
  return new KafkaClient({
    brokers: ports.map((port) => `127.0.0.1:${port}`),
    clientId: 'test',
    time: realTime,
    connectTimeoutMs: 1_000,
    requestTimeoutMs: 300,
    onRetry: () => undefined,
  });
}

/** Metadata (version 12) of brokers alone, as the answer to a request. */
function brokersOf(ports: readonly number[], request: Buffer): Buffer {
  const int32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const host = Buffer.from('127.0.0.1');
  const brokers = ports.flatMap((port, node) => [
    ...[int32(node), Buffer.from([host.length + 1]), host, int32(port), Buffer.from([0, 0])],
  ]);
  const correlation = request.subarray(8, 12);
  const body = Buffer.concat([
    ...[correlation, Buffer.from([0]), int32(0), Buffer.from([ports.length + 1]), ...brokers],
    // No cluster's name, no controller, no topics.
    ...[Buffer.from([0]), int32(-1), Buffer.from([1, 0])],
  ]);
  return Buffer.concat([int32(body.length), body]);
}

test('who takes connections and closes them is not asked again while there are others', async () => {
  const ports = [await listen(closes), await listen(saysNothing)];
  const client = clientOf(ports);
  const first = await client.any();
  expect(first.port).toBe(ports[0]);
  await once(first, 'close');
  for (let again = 0; again < 3; again++) expect((await client.any()).port).toBe(ports[1]);
  client.close();
});

test('who says nothing is followed by another', async () => {
  const ports: number[] = [await listen(saysNothing)];
  ports.push(
    await listen((socket) => {
      socket.on('data', (request) => void socket.write(brokersOf(ports, request)));
    }),
  );
  const client = clientOf(ports);
  expect(await client.refresh('absent')).toBeUndefined();
  expect((await client.any()).port).toBe(ports[1]);
  client.close();
});

test('who closes a connection of its own, as a reader has, is not asked first either', async () => {
  const ports: number[] = [];
  ports.push(
    await listen((socket, count) => {
      if (count > 1) socket.destroy();
      socket.on('data', (request) => void socket.write(brokersOf(ports, request)));
    }),
    await listen(saysNothing),
  );
  const client = clientOf(ports);
  await client.refresh('absent');
  expect((await client.any()).port).toBe(ports[0]);
  await once(await client.connectTo(0), 'close');
  expect((await client.any()).port).toBe(ports[1]);
  client.close();
});

test('who took no connection is not asked first', async () => {
  const gone = createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const { port: first } = gone.address() as AddressInfo;
  gone.close();
  await once(gone, 'close');
  const second = await listen(saysNothing);
  const client = clientOf([first, second]);
  const { port } = await client.any();
  expect(port).toBe(second);
  // It could be reached again, and nobody has to find out.
  servers.push(createServer().listen(first, '127.0.0.1'));
  expect((await client.any()).port).toBe(second);
  client.close();
});
