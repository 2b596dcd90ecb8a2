import type {
  LoadBalancerSettings,
  LoadBalancerSettings_ConsistentHashLB,
  LoadBalancerSettings_ConsistentHashLB_HTTPCookie,
  LocalityLoadBalancerSetting,
  OutlierDetection,
  WarmupConfiguration,
} from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import type { At } from '../../decode.ts';
import { checkDuration } from '../common/checks.ts';
import { isHeaderName } from '../common/headers.ts';

/** Envoy's bound of a Maglev table. */
const maxTableSize = 5_000_011;
/** Envoy's bound of a hash ring. */
const maxRingSize = 8_388_608;
const topologyLabels = new Set([
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
]);

export function checkLoadBalancer(
  settings: LoadBalancerSettings | undefined,
  outlier: OutlierDetection | undefined,
  at: At,
): void {
  if (settings === undefined) return;
  if (settings.lbPolicy?.$case === 'consistentHash') {
    checkHash(settings.lbPolicy.value, at.field('consistentHash'));
  }
  checkLocality(settings.localityLbSetting, outlier, at.field('localityLbSetting'));
  checkWarmup(settings.warmup, at.field('warmup'));
  if (settings.warmupDurationSecs === undefined) return;
  const item = at.field('warmupDurationSecs');
  checkDuration(item, settings.warmupDurationSecs);
  item.warn(settings.warmupDurationSecs, 'is deprecated; use warmup');
  if (settings.warmup !== undefined) item.warn(undefined, 'has no effect beside warmup');
}

function checkHash(hash: LoadBalancerSettings_ConsistentHashLB, at: At): void {
  const key = hash.hashKey;
  switch (key?.$case) {
    case 'httpCookie':
      checkCookie(key.value, at.field('httpCookie'));
      break;
    case 'httpHeaderName':
      if (!isHeaderName(key.value)) {
        at.field('httpHeaderName').error(key.value, 'must be the name of a header');
      }
      break;
    case 'httpQueryParameterName':
      if (key.value === '') at.field('httpQueryParameterName').error('', 'must not be empty');
      break;
    case 'useSourceIp':
      break;
    case undefined:
      at.warn(hash, 'says nothing to hash by, so it has no effect');
  }
  if (hash.minimumRingSize !== 0) {
    const item = at.field('minimumRingSize');
    item.warn(hash.minimumRingSize, 'is deprecated; use ringHash.minimumRingSize');
    if (hash.hashAlgorithm !== undefined) {
      item.error(hash.minimumRingSize, `must not be set beside ${hash.hashAlgorithm.$case}`);
    }
  }
  checkRing(hash, at);
}

function checkRing(hash: LoadBalancerSettings_ConsistentHashLB, at: At): void {
  const algorithm = hash.hashAlgorithm;
  const ring = algorithm?.$case === 'ringHash' ? algorithm.value.minimumRingSize : 0;
  for (const size of [ring, hash.minimumRingSize]) {
    if (size > maxRingSize) at.error(size, `must have a ring of at most ${maxRingSize}`);
  }
  if (algorithm?.$case !== 'maglev') return;
  const { tableSize } = algorithm.value;
  if (tableSize < 1 || tableSize >= maxTableSize || !isPrime(tableSize)) {
    const field = at.field('maglev').field('tableSize');
    field.error(tableSize, `must be a prime below ${maxTableSize}`);
  }
}

function checkCookie(cookie: LoadBalancerSettings_ConsistentHashLB_HTTPCookie, at: At): void {
  if (cookie.name === '') at.field('name').error('', 'is required');
  const { ttl } = cookie;
  if (ttl !== undefined && (ttl.seconds !== 0 || ttl.nanos !== 0)) {
    checkDuration(at.field('ttl'), ttl);
  }
  if (cookie.attributes.length > 0) {
    at.field('attributes').warn(cookie.attributes, 'is not supported and has no effect');
  }
}

function isPrime(value: number): boolean {
  if (value < 4) return value > 1;
  if (value % 2 === 0) return false;
  for (let factor = 3; factor * factor <= value; factor += 2) {
    if (value % factor === 0) return false;
  }
  return true;
}

function checkWarmup(warmup: WarmupConfiguration | undefined, at: At): void {
  if (warmup === undefined) return;
  if (warmup.duration === undefined) at.field('duration').error(undefined, 'is required');
  checkDuration(at.field('duration'), warmup.duration);
  const minimum = warmup.minimumPercent ?? 0;
  if (minimum < 0 || minimum > 100) {
    at.field('minimumPercent').error(minimum, 'must be a percentage, from 0 to 100');
  }
  if (warmup.aggression !== undefined && !(warmup.aggression > 0)) {
    at.field('aggression').error(warmup.aggression, 'must be above 0');
  }
}

/** istiod's ValidateLocalityLbSetting. */
function checkLocality(
  locality: LocalityLoadBalancerSetting | undefined,
  outlier: OutlierDetection | undefined,
  at: At,
): void {
  if (locality === undefined) return;
  const { distribute, failover, failoverPriority } = locality;
  if (distribute.length > 0 && failover.length > 0) {
    at.field('distribute').error(distribute, 'must not be set beside failover');
  }
  for (const [index, label] of failoverPriority.entries()) {
    if (failover.length > 0 && topologyLabels.has(label)) {
      at.field('failoverPriority').item(index).error(label, 'must not be set beside failover');
    }
  }
  for (const [index, entry] of distribute.entries()) {
    const item = at.field('distribute').item(index).field('to');
    const weights = Object.values(entry.to);
    if (weights.some((weight) => weight < 1 || weight > 100)) {
      item.error(entry.to, 'must have weights from 1 to 100');
    } else if (weights.reduce((sum, weight) => sum + weight, 0) !== 100) {
      item.error(entry.to, 'must have weights whose sum is 100');
    }
    checkLocalities(Object.keys(entry.to), item);
  }
  checkLocalities(
    distribute.map((entry) => entry.from),
    at.field('distribute'),
  );
  if (failover.length + failoverPriority.length > 0 && outlier === undefined) {
    at.warn(locality, 'needs outlierDetection: without it nothing fails over');
  }
  for (const [index, { from, to }] of failover.entries()) {
    const item = at.field('failover').item(index);
    if (from === to) item.error(from, 'must be from one region to another');
    for (const region of [from, to]) {
      if (/[/*]/u.test(region)) item.error(region, 'must be a region, without zones or wildcards');
    }
  }
}

/** `region/zone/subzone`, whole or cut, with `*` at the end only; none within another. */
function checkLocalities(localities: readonly string[], at: At): void {
  const seen: string[][] = [];
  for (const locality of localities) {
    const parts = splitLocality(locality);
    const star = locality.indexOf('*');
    if (parts.includes('')) at.error(locality, 'must not have an empty region, zone or subzone');
    else if (star >= 0 && star !== locality.length - 1) {
      at.error(locality, 'may have "*" only once and at the end');
    } else if (seen.some((other) => covers(other, parts) || covers(parts, other))) {
      at.error(locality, 'overlaps with another one');
    }
    seen.push(parts);
  }
}

/** At most three parts: a subzone may contain slashes. */
function splitLocality(locality: string): string[] {
  const [region = '', zone, ...rest] = locality.split('/');
  if (zone === undefined) return [region];
  return rest.length === 0 ? [region, zone] : [region, zone, rest.join('/')];
}

function covers(wide: readonly string[], narrow: readonly string[]): boolean {
  return wide.every((part, index) => part === '*' || part === narrow[index]);
}
