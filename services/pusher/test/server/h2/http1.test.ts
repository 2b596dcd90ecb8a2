import { expect, it } from 'vitest';
import { Bench, hello } from './support.ts';

const said = (bench: Bench): string => Buffer.concat(bench.sent).toString('latin1');

it.each([
  ['curl', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'],
  ['what begins as HTTP/2 does', 'PROPFIND /x HTTP/1.1\r\n'],
  ['a body', `POST /a.B/C HTTP/1.1\r\ncontent-length: 9999\r\n\r\n${'x'.repeat(9_999)}`],
  ['the least', 'GET /'],
])('a request of HTTP/1 is told in HTTP/1 what this is, and nothing else: %s', (_what, text) => {
  const bench = new Bench();
  bench.connection.receive(Buffer.from(text));
  bench.connection.receive(Buffer.from(text));
  expect(said(bench)).toMatch(/^HTTP\/1\.1 505 [^\r]*\r\nconnection: close\r\n[^]*over HTTP\/2/u);
  const [, length, body] = /content-length: (\d+)\r\n\r\n([^]*)$/u.exec(said(bench)) ?? [];
  expect(body).toHaveLength(Number(length));
  expect(bench.isOver).toBe(true);
});

it.each([
  'INVALID CONNECTION PREFACE\r\n\r\n',
  '\u0016\u0003\u0001',
  'get / HTTP/1.1',
  'PRI * HTTP/1',
])('what is neither is told nothing: %j', (text) => {
  const bench = new Bench();
  bench.connection.receive(Buffer.from(text));
  expect([said(bench), bench.isOver]).toEqual(['', true]);
});

it('who has said nothing yet is told nothing: not that it is asked, nor that we leave', () => {
  const asked = new Bench();
  asked.connection.probe(() => undefined);
  expect(said(asked)).toBe('');
  asked.connection.receive(hello);
  expect(asked.frames.length).toBeGreaterThan(0);
  const left = new Bench();
  left.connection.leave();
  expect([said(left), left.isOver]).toEqual(['', true]);
});
