import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import { expect, test } from 'vitest';
import { startHttp2Backend } from './backends.ts';
import { makeAuthority } from './certificates.ts';

const authority = makeAuthority('tests');
const names = ['shop.example', '*.shop.example', '127.0.0.1', 'spiffe://cluster.local/ns/a/sa/b'];

test('a certificate is for its names, and signed by its authority', () => {
  const { certificate } = authority.issue({ commonName: 'shop', names });
  const parsed = new X509Certificate(certificate);
  const root = new X509Certificate(authority.certificate);
  expect(root.ca).toBe(true);
  expect(parsed.ca).toBe(false);
  expect(parsed.checkIssued(root)).toBe(true);
  expect(parsed.verify(root.publicKey)).toBe(true);
  expect(parsed.checkHost('shop.example')).toBe('shop.example');
  expect(parsed.checkHost('a.shop.example')).toBe('*.shop.example');
  expect(parsed.checkHost('other.example')).toBeUndefined();
  expect(parsed.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(parsed.subjectAltName).toContain('URI:spiffe://cluster.local/ns/a/sa/b');
});

test('both sides of a handshake accept each other, and nobody accepts a stranger', async () => {
  const server = authority.issue({ commonName: 'server', names });
  const client = authority.issue({ commonName: 'client', names: [] });
  const listener = createServer({
    cert: server.certificate,
    key: server.key,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  listener.on('tlsClientError', () => undefined);
  listener.on('secureConnection', (socket) => socket.end('hello'));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  const shake = async (use: { certificate: string; key: string }, ca: string): Promise<string> => {
    const { certificate: cert, key } = use;
    const socket = connect({ port, host: '127.0.0.1', servername: 'shop.example', cert, key, ca });
    let received = '';
    try {
      for await (const chunk of socket) received += String(chunk);
    } catch {
      return 'refused';
    }
    return received;
  };
  expect(await shake(client, authority.certificate)).toBe('hello');
  const stranger = makeAuthority('stranger');
  const strange = stranger.issue({ commonName: 'client', names: [] });
  // A server's refusal can reach the client as an error or as an end without a word.
  expect(await shake(strange, authority.certificate)).not.toBe('hello');
  expect(await shake(client, stranger.certificate)).toBe('refused');
  listener.close();
});

test('a certificate can be one that has expired', () => {
  const expired = authority.issue({ commonName: 'old', names, fromDays: -10, untilDays: -5 });
  const { validToDate } = new X509Certificate(expired.certificate);
  expect(validToDate.getTime()).toBeLessThan(Date.now());
});

test('a backend serves TLS with one', async () => {
  const tls = authority.issue({ commonName: 'backend', names });
  const backend = await startHttp2Backend({ name: 'secure', tls });
  const socket = connect({
    port: backend.port,
    host: '127.0.0.1',
    ca: authority.certificate,
    ALPNProtocols: ['http/1.1'],
  });
  socket.write('GET /x HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n');
  let received = '';
  for await (const chunk of socket) received += String(chunk);
  expect(received).toContain('"name":"secure"');
  expect(received).toContain('"authority":"shop.example"');
  await backend.stop();
});
