/** Calls to a Watershed process's monitoring port. */

import { describeError } from '@watershed/runtime/errors.ts';

/** What listens there answers, and not as it should. */
const notOurs = 'is that the monitoring port of Watershed, of the service that --help names?';

export interface MonitoringOptions {
  /** `127.0.0.1:15014` */
  readonly address: string;
  readonly timeoutMs: number;
}

/** @throws Error that names the address and what to check. */
export async function getJson(options: MonitoringOptions, path: string): Promise<unknown> {
  const body = await call(options, 'GET', path);
  try {
    return JSON.parse(body) as unknown;
  } catch (cause) {
    const url = `http://${options.address}${path}`;
    throw new Error(`${url} did not answer with JSON: ${notOurs}`, { cause });
  }
}

export async function post(options: MonitoringOptions, path: string): Promise<string> {
  return await call(options, 'POST', path);
}

async function call(options: MonitoringOptions, method: string, path: string): Promise<string> {
  const url = `http://${options.address}${path}`;
  let response: Response;
  let body: string;
  try {
    response = await fetch(url, { method, signal: AbortSignal.timeout(options.timeoutMs) });
    body = await response.text();
  } catch (cause) {
    const late = cause instanceof Error && cause.name === 'TimeoutError';
    const why = late ? `within ${options.timeoutMs / 1_000} s` : `(${describeError(cause)})`;
    const hint = 'is Watershed running, and is that its --monitoringAddr?';
    throw new Error(`no answer from ${url} ${why}: ${hint}`, { cause });
  }
  if (response.ok) return body;
  const hint = response.status === 404 ? `: ${notOurs}` : '';
  throw new Error(`${url} answered ${response.status}: ${body.trim().slice(0, 500)}${hint}`);
}

/** The fields of a JSON object; of anything else, none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** A list; of anything else, an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A text; of anything else, the empty one. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
