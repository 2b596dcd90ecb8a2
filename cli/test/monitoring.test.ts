import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { xdsctl } from './support.ts';

let servers: Server[] = [];

afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
});

/** Where something listens that answers so. */
async function listen(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function failureOf(...args: readonly string[]): Promise<string> {
  return (await xdsctl(...args)).failure;
}

test('nobody who answers is told of with the reason, and with what to look at', async () => {
  const address = await listen(() => undefined);
  expect(await failureOf('confirm', '--monitoringAddr', address, '--timeout', '0.05')).toBe(
    `no answer from http://${address}/debug/confirm within 0.05 s: is Watershed running, and is that its --monitoringAddr?`,
  );
  const [server] = servers;
  server?.closeAllConnections();
  server?.close();
  expect(await failureOf('proxy-status', '--monitoringAddr', address)).toMatch(
    /ECONNREFUSED.*\?$/u,
  );
});

test('somebody else who answers is not taken for Watershed', async () => {
  const page = await listen((_, response) => response.end('<html>'));
  expect(await failureOf('proxy-status', '--monitoringAddr', page)).toMatch(
    /did not answer with JSON: is that the monitoring port of Watershed/u,
  );
  const other = await listen((_, response) => response.writeHead(404).end('nothing here\n'));
  expect(await failureOf('confirm', '--monitoringAddr', other)).toMatch(
    /answered 404: nothing here: is that the monitoring port of Watershed/u,
  );
});

test('of all interfaces this machine is asked by loopback', async () => {
  const address = await listen((_, response) => response.end('nothing is held\n'));
  const port = address.slice(address.lastIndexOf(':'));
  for (const host of ['', '0.0.0.0']) {
    expect(await xdsctl('confirm', '--monitoringAddr', `${host}${port}`)).toEqual({
      lines: ['nothing is held'],
      notes: [],
      failure: '',
    });
  }
});
