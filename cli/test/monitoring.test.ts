import { expect, test } from 'vitest';
import { freePort } from '../src/components/ports.ts';
import { listening, xdsctl } from './support.ts';

async function failureOf(...args: readonly string[]): Promise<string> {
  return (await xdsctl(...args)).failure;
}

test('nobody who answers is told of with the reason, and with what to look at', async () => {
  const address = await listening(() => undefined);
  expect(await failureOf('confirm', '--monitoringAddr', address, '--timeout', '0.05')).toBe(
    `no answer from http://${address}/debug/confirm within 0.05 s: is Watershed running, and is that its --monitoringAddr?`,
  );
  const free = `127.0.0.1:${await freePort()}`;
  expect(await failureOf('proxy-status', '--monitoringAddr', free)).toMatch(/ECONNREFUSED.*\?$/u);
});

test('somebody else who answers is not taken for Watershed', async () => {
  const page = await listening((_, response) => response.end('<html>'));
  expect(await failureOf('proxy-status', '--monitoringAddr', page)).toMatch(
    /did not answer with JSON: is that the monitoring port of Watershed/u,
  );
  const other = await listening((_, response) => response.writeHead(404).end('nothing here\n'));
  expect(await failureOf('confirm', '--monitoringAddr', other)).toMatch(
    /answered 404: nothing here: is that the monitoring port of Watershed/u,
  );
});

test('of all interfaces this machine is asked by loopback', async () => {
  const address = await listening((_, response) => response.end('nothing is held\n'));
  const port = address.slice(address.lastIndexOf(':'));
  for (const host of ['', '0.0.0.0']) {
    expect(await xdsctl('confirm', '--monitoringAddr', `${host}${port}`)).toEqual({
      lines: ['nothing is held'],
      notes: [],
      failure: '',
    });
  }
});
