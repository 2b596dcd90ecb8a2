/** A Kubernetes API server, as far as a pusher speaks to it: one question, by HTTPS. */
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { PostReview } from './token-review.ts';

export interface ApiServerOptions {
  /** https; without a path. */
  readonly url: string;
  /** PEM, what signs its certificate. Read for each question, as the token: both are renewed. */
  readonly caFile: string;
  /** Of the pusher itself. */
  readonly tokenFile: string;
}

const path = '/apis/authentication.k8s.io/v1/tokenreviews';
const timeoutMs = 5_000;
const maxBytes = 256 * 1024;
const maxSockets = 8;

export function createPostReview({ url, caFile, tokenFile }: ApiServerOptions): PostReview {
  // Connections are kept: a handshake costs more than the question.
  const agent = new Agent({ keepAlive: true, maxSockets });
  return async (review) => {
    const [ca, token] = await Promise.all([readFile(caFile), readFile(tokenFile, 'utf8')]);
    const body = JSON.stringify(review);
    const { status, text } = await answerOf(new URL(path, url), { agent, ca }, token.trim(), body);
    if (status !== 200 && status !== 201) {
      throw new OperatingError('unavailable', `it answers ${status}`);
    }
    return JSON.parse(text) as unknown;
  };
}

function answerOf(
  url: URL,
  tls: { readonly agent: Agent; readonly ca: Buffer },
  token: string,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, {
      ...tls,
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      },
      // In all, however slowly it trickles.
      signal: AbortSignal.timeout(timeoutMs),
    });
    call.once('error', reject);
    call.once('response', (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > maxBytes) call.destroy(new OperatingError('too-large', 'a long answer'));
        else parts.push(part);
      });
      response.once('error', reject);
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') });
      });
    });
    call.end(body);
  });
}
