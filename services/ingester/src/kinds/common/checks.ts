/**
 * Checks of single values that several kinds share; each says what is wrong at the path that it is
 * given.
 */
import type { At } from '../../decode.ts';
import { headerValueProblem } from './format.ts';
import { isAuthorityHeader, isHeaderName } from './headers.ts';
import { isAddress, isDnsLabel, isSubnet, nameProblem, wildcardNameProblem } from './hosts.ts';
import type { Labels } from './labels.ts';
import { isLabelKey, isLabelValue } from './labels.ts';
import { regexProblem } from './regex.ts';

const unixPrefix = 'unix://';

export function checkPort(at: At, port: number): void {
  if (port < 1 || port > 65_535) at.error(port, 'must be a port, from 1 to 65535');
}

/** A duration of protobuf, as far as it is read. */
export interface DurationValue {
  readonly seconds: number;
  readonly nanos: number;
}

/** Milliseconds, cut. */
export function durationMs(duration: DurationValue): number {
  return duration.seconds * 1_000 + Math.trunc(duration.nanos / 1_000_000);
}

/** Longest duration whose milliseconds fit the model's 32 bits: 49 days. */
const maxDurationMs = 0xff_ff_ff_ff;

/** Whole milliseconds, at least one (istiod's ValidateDuration). */
export function checkDuration(at: At, duration: DurationValue | undefined): void {
  if (duration === undefined) return;
  const shown = `${duration.seconds + duration.nanos / 1e9}s`;
  const totalMs = durationMs(duration);
  if (totalMs < 1) at.error(shown, 'must be at least 1ms');
  else if (duration.nanos % 1_000_000 !== 0) at.error(shown, 'must be whole milliseconds');
  else if (totalMs > maxDurationMs) at.error(shown, 'must be at most 49 days');
}

export function checkPercent(at: At, percent: number): void {
  if (percent < 0 || percent > 100) at.error(percent, 'must be a percentage, from 0 to 100');
}

export function checkNotNegative(at: At, value: number): void {
  if (value < 0) at.error(value, 'must not be negative');
}

export function checkRegex(at: At, regex: string): void {
  const problem = regexProblem(regex);
  if (problem !== undefined) at.error(regex, problem);
}

export function checkHost(at: At, host: string): void {
  const problem = nameProblem(host);
  if (problem !== undefined) at.error(host, problem);
}

export function checkWildcardHost(at: At, host: string): void {
  const problem = wildcardNameProblem(host);
  if (problem !== undefined) at.error(host, problem);
}

export function checkDnsLabel(at: At, value: string): void {
  if (!isDnsLabel(value)) at.error(value, 'must be a DNS label: at most 63 of a-z, 0-9 and "-"');
}

export function checkAddress(at: At, address: string): void {
  if (!isAddress(address)) at.error(address, 'must be an IP address');
}

export function checkSubnet(at: At, subnet: string): void {
  if (!isSubnet(subnet)) at.error(subnet, 'must be an IP address or a CIDR block');
}

/** Linux's sun_path, with the zero that Envoy puts behind it. */
const maxUnixPath = 107;

/** The path of a socket, or an abstract name (`@name`), without `unix://`. */
export function checkUnixPath(at: At, path: string): void {
  if (Buffer.byteLength(path) > maxUnixPath) {
    at.error(path, `must have at most ${maxUnixPath} bytes: a socket's path has no more`);
  }
  if (path.startsWith('@')) return;
  if (!path.startsWith('/') || path.endsWith('/')) {
    at.error(path, 'must be the absolute path of a socket, or "@" and an abstract name');
  }
}

export function unixPath(address: string): string | undefined {
  return address.startsWith(unixPrefix) ? address.slice(unixPrefix.length) : undefined;
}

export function checkLabels(at: At, labels: Labels): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!isLabelKey(key)) at.field(key).error(key, 'must be a label key');
    if (!isLabelValue(value)) at.field(key).error(value, 'must be a label value');
  }
}

/** A selector of workloads by labels; wildcards are refused, nothing at all selects the namespace. */
export function checkWorkloadLabels(at: At, labels: Labels, whole: string): void {
  for (const [key, value] of Object.entries(labels)) {
    if (key === '') at.field(key).error(key, 'must not be an empty key');
    if (key.includes('*')) at.field(key).error(key, 'must not contain wildcards');
    if (value.includes('*')) at.field(key).error(value, 'must not contain wildcards');
  }
  if (Object.keys(labels).length === 0) {
    at.warn(labels, `is without labels, so it selects ${whole}`);
  }
}

/** Names and values of headers to set or add; `host` may be rewritten in requests alone. */
export function checkHeaderValues(
  at: At,
  headers: Labels,
  direction: 'request' | 'response',
): void {
  for (const [name, value] of Object.entries(headers)) {
    checkHeaderOperation(at.field(name), name, direction === 'request');
    const problem = headerValueProblem(value);
    if (problem !== undefined) at.field(name).error(value, problem);
  }
}

export function checkHeaderOperation(at: At, name: string, authorityAllowed: boolean): void {
  if (isAuthorityHeader(name)) {
    if (!authorityAllowed) at.error(name, 'must not be the host: it is rewritten in requests only');
  } else if (name.startsWith(':')) {
    at.error(name, 'must not be a pseudo-header');
  } else if (!isHeaderName(name)) {
    at.error(name, 'must be the name of a header');
  }
}

/** Map keys that name the same header: which of them Envoy would take is not to be guessed. */
export function checkHeaderCase(at: At, names: Iterable<string>): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const other = seen.get(name.toLowerCase());
    if (other !== undefined && other !== name) {
      at.field(name).error(name, `is the same header as ${JSON.stringify(other)}`);
    }
    seen.set(name.toLowerCase(), name);
  }
}

export interface ExportRules {
  readonly namespace: string;
  /** ServiceEntry: `~`, exported to nobody. */
  readonly nobody: boolean;
}

export function checkExportTo(at: At, exportTo: readonly string[], rules: ExportRules): void {
  const seen = new Set<string>();
  for (const [index, entry] of exportTo.entries()) {
    const key = entry === '.' ? rules.namespace : entry;
    const item = at.item(index);
    if (seen.has(key)) item.error(entry, 'is exported to twice');
    seen.add(key);
    if (key === '~' && !rules.nobody) {
      item.error(entry, 'must not be "~": only a ServiceEntry can be exported to nobody');
    } else if (key !== '*' && key !== '~' && !isDnsLabel(key)) {
      item.error(entry, 'must be ".", "*" or the name of a namespace');
    }
  }
  if (exportTo.length < 2) return;
  if (seen.has('*')) at.error(exportTo, 'must not have other entries beside "*"');
  if (seen.has('~')) at.error(exportTo, 'must not have other entries beside "~"');
}
