/**
 * Who takes the load first, and how much of it, by locality (Istio's localityLbSetting): shares of
 * the proxy's locality as the user distributes them, or priorities by how near an endpoint is.
 */
import type { LocalityFacts } from './cluster-facts.ts';
import type { ShareKey } from './localities.ts';

/** Endpoints of one locality (and rank), and what they weigh together. */
export interface Placed {
  readonly share: ShareKey;
  readonly rank: number;
  readonly weight: number;
}

export interface Planned {
  readonly share: ShareKey;
  readonly priority: number;
  readonly weight: number;
}

/** @param proxy the proxy's `region/zone/subZone`, '' for unknown */
export function localityPlan(
  placed: readonly Placed[],
  facts: LocalityFacts,
  proxy: string,
): readonly Planned[] {
  if (facts.distribute.length > 0) return distributed(placed, facts.distribute, proxy);
  const near = (one: Placed): number => distance(proxy, one.share.locality, facts.failoverTo);
  const byPlace = facts.failoverPriority.length === 0 || facts.failoverTo.length > 0;
  const scores = placed.map((one) => one.rank * 5 + (byPlace ? near(one) : 0));
  // Envoy wants priorities from 0 with none left out.
  const order = [...new Set(scores)].sort((a, b) => a - b);
  return placed.map(({ share, weight }, at) => ({
    share,
    weight,
    priority: order.indexOf(scores[at] ?? 0),
  }));
}

/**
 * 0: the same sub-zone, 1: zone, 2: region, 3: elsewhere, 4: elsewhere and not where it fails over
 * to.
 */
function distance(proxy: string, locality: string, failover: LocalityFacts['failoverTo']): number {
  const [region = '', zone = '', subZone = ''] = proxy.split('/');
  const [toRegion = '', toZone = '', toSubZone = ''] = locality.split('/');
  if (region === toRegion) {
    if (zone !== toZone) return 2;
    return subZone === toSubZone ? 0 : 1;
  }
  const rule = failover.find((one) => one.from === region);
  return rule === undefined || rule.to === toRegion ? 3 : 4;
}

/** The first rule that fits the proxy; localities that it names no share of get no load. */
function distributed(
  placed: readonly Placed[],
  rules: LocalityFacts['distribute'],
  proxy: string,
): readonly Planned[] {
  const rule = rules.find((one) => covers(one.from, proxy));
  if (rule === undefined) {
    return placed.map(({ share, weight }) => ({ share, weight, priority: 0 }));
  }
  const left = new Set(placed);
  const planned: Planned[] = [];
  for (const [to, percent] of Object.entries(rule.to)) {
    const matching = [...left].filter((one) => covers(to, one.share.locality));
    const total = matching.reduce((sum, one) => sum + one.weight, 0);
    for (const one of matching) {
      left.delete(one);
      const weight = Math.ceil((one.weight * percent) / total);
      if (weight > 0) planned.push({ share: one.share, weight, priority: 0 });
    }
  }
  return planned.sort((a, b) => (a.share.locality < b.share.locality ? -1 : 1));
}

/** `region/zone/*`, `region/*`, `region`, `*` */
function covers(pattern: string, locality: string): boolean {
  if (pattern === '*') return true;
  const wanted = pattern.split('/');
  const parts = locality.split('/');
  for (const [at, part] of wanted.entries()) {
    if (part === '*') return true;
    if (part !== (parts[at] ?? '')) return false;
  }
  return true;
}
