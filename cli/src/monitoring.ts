/** Calls to a Watershed process's monitoring port. */

export interface MonitoringOptions {
  /** `127.0.0.1:15014` */
  readonly address: string;
  readonly timeoutMs: number;
}

/** @throws Error that names the address and what to check. */
export async function getJson(options: MonitoringOptions, path: string): Promise<unknown> {
  return JSON.parse(await call(options, 'GET', path)) as unknown;
}

export async function post(options: MonitoringOptions, path: string): Promise<string> {
  return await call(options, 'POST', path);
}

async function call(options: MonitoringOptions, method: string, path: string): Promise<string> {
  const url = `http://${options.address}${path}`;
  let response: Response;
  try {
    response = await fetch(url, { method, signal: AbortSignal.timeout(options.timeoutMs) });
  } catch (cause) {
    const hint = 'is Watershed running, and is that its --monitoringAddr?';
    throw new Error(`no answer from ${url}: ${hint}`, { cause });
  }
  const body = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${body.slice(0, 500)}`);
  return body;
}

/** The fields of a JSON object; of anything else, none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** A text; of anything else, the empty one. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
