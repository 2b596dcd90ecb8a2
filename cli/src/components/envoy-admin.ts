import { request } from 'node:http';

export interface AdminResponse {
  readonly status: number;
  readonly body: string;
}

const requestTimeoutMs = 10_000;

/** Envoy's admin interface, as far as it is asked. */
export class EnvoyAdmin {
  readonly port: number;

  constructor(port: number) {
    this.port = port;
  }

  get(path: string): Promise<AdminResponse> {
    return this.#call('GET', path);
  }

  post(path: string): Promise<AdminResponse> {
    return this.#call('POST', path);
  }

  async isReady(): Promise<boolean> {
    const { status } = await this.get('/ready').catch(() => ({ status: 0 }));
    return status === 200;
  }

  /** Counters and gauges by name; `filter` is a regular expression of Envoy's. */
  async stats(filter?: string): Promise<ReadonlyMap<string, number>> {
    const query = filter === undefined ? '' : `?filter=${encodeURIComponent(filter)}`;
    const text = await this.#text(`/stats${query}`);
    const values = new Map<string, number>();
    for (const line of text.split('\n')) {
      const at = line.lastIndexOf(': ');
      const value = Number(line.slice(at + 2));
      // Histograms ("P0(nan,…)") and texts are not numbers.
      if (at > 0 && !Number.isNaN(value)) values.set(line.slice(0, at), value);
    }
    return values;
  }

  /** One counter or gauge; 0 while Envoy has not made it. */
  async stat(name: string): Promise<number> {
    const escaped = name.replaceAll(/[.*+?^${}()|[\]\\]/gu, String.raw`\$&`);
    return (await this.stats(`^${escaped}$`)).get(name) ?? 0;
  }

  /**
   * `resource`: only that field of the dump (`dynamic_active_clusters`); endpoints are left out
   * without it.
   */
  async configDump(resource?: string): Promise<unknown> {
    const query = resource === undefined ? '?include_eds' : `?resource=${resource}`;
    return JSON.parse(await this.#text(`/config_dump${query}`));
  }

  /** The addresses that listeners are bound to, by listener name. */
  async listeners(): Promise<ReadonlyMap<string, string>> {
    const text = await this.#text('/listeners');
    const found = new Map<string, string>();
    for (const line of text.split('\n')) {
      const at = line.indexOf('::');
      if (at > 0) found.set(line.slice(0, at), line.slice(at + 2));
    }
    return found;
  }

  /** `/clusters` as text: one line per cluster or host and fact. */
  clusters(): Promise<string> {
    return this.#text('/clusters');
  }

  async #text(path: string): Promise<string> {
    const { status, body } = await this.get(path);
    if (status !== 200) throw new Error(`Envoy's admin answered ${path} with ${status}: ${body}`);
    return body;
  }

  #call(method: string, path: string): Promise<AdminResponse> {
    return new Promise((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: this.port,
          method,
          path,
          agent: false,
          timeout: requestTimeoutMs,
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text: string) => {
            body += text;
          });
          response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
          response.once('error', reject);
        },
      );
      call.once('timeout', () => call.destroy(new Error(`Envoy's admin: no answer to ${path}`)));
      call.once('error', reject);
      call.end();
    });
  }
}
