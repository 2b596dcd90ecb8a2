import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { KafkaClient } from '../src/kafka/client.ts';
import { realTime } from './support.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Takes connections; `closes`: and ends them, as what stands before a broker that is away. */
async function listen(closes: boolean): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (closes) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('who takes connections and closes them is not asked again while there are others', async () => {
  const ports = [await listen(true), await listen(false)];
  const client = new KafkaClient({
    brokers: ports.map((port) => `127.0.0.1:${port}`),
    clientId: 'test',
    time: realTime,
    connectTimeoutMs: 1_000,
    requestTimeoutMs: 1_000,
    onRetry: () => undefined,
  });
  const first = await client.any();
  expect(first.port).toBe(ports[0]);
  await once(first, 'close');
  for (let again = 0; again < 3; again++) expect((await client.any()).port).toBe(ports[1]);
  client.close();
});
