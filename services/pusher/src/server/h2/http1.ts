/** A person with curl, or a probe that is set up for HTTP. */

/** So much tells a method and the begin of a path. */
const tellingBytes = 16;

const text =
  'This is xDS: gRPC over HTTP/2, and nothing else. What there is for HTTP (/ready, /metrics, ' +
  '/debug) is at --monitoringAddr.\n';

/** Of that version there is nothing here (RFC 9110, 15.6.6). */
const refusal = Buffer.from(
  [
    'HTTP/1.1 505 HTTP Version Not Supported',
    'connection: close',
    'content-type: text/plain',
    `content-length: ${text.length}`,
    '',
    text,
  ].join('\r\n'),
);

/** What a connection is answered that begins with a request of HTTP/1; `undefined`: it does not. */
export function refusalOfHttp1(first: Buffer): Buffer | undefined {
  return /^[A-Z]+ \//u.test(first.toString('latin1', 0, tellingBytes)) ? refusal : undefined;
}
