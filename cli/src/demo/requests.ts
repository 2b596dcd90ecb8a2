/** Requests to the demo's gateway. */
import { Agent, request } from 'node:http';

export interface Asked {
  readonly status: number;
  /** Which backend answered; empty: none. */
  readonly backend: string;
  readonly body: string;
}

const timeoutMs = 5_000;
const agent = new Agent({ keepAlive: true, maxSockets: 8 });

/** One request with this `Host`. */
export function ask(port: number, host: string, path: string): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, agent, timeout: timeoutMs, headers: { host } };
    const call = request(options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('error', reject);
      response.once('end', () => {
        const backend = String(response.headers['x-backend'] ?? '');
        resolve({ status: response.statusCode ?? 0, backend, body });
      });
    });
    call.once('timeout', () => call.destroy(new Error(`no answer from 127.0.0.1:${port}`)));
    call.once('error', reject);
    call.end();
  });
}

/** How often each backend answers so many requests. */
export async function count(
  requests: number,
  port: number,
  host: string,
): Promise<ReadonlyMap<string, number>> {
  const answers = await Promise.all(Array.from({ length: requests }, () => ask(port, host, '/')));
  const by = new Map<string, number>();
  for (const { backend } of answers) by.set(backend, (by.get(backend) ?? 0) + 1);
  return by;
}

export function closeConnections(): void {
  agent.destroy();
}
