/**
 * The translator's own plans and generators: every mutant is noticed, but for those that nobody
 * could notice.
 */
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { expect, it } from 'vitest';
import { corpora } from './corpora.ts';
import { fieldMutants, jobsOf } from './fields.ts';
import { readMutants, staleSteps } from './reads.ts';

/** Fields of the model that come with a rule as it is, and that no bytes are made of. */
const inert = new Set([
  // A header named host is the rule's authority, which is rewritten elsewhere.
  'virtual-host: rules[].requestHeaders.set.host',
  'virtual-host: rules[].action.forward.backends[].requestHeaders.set.host',
  // Only matches of headers can be inverted.
  'virtual-host: rules[].matches[].queryParams[].invert',
]);

it('leaving any field out of the digest of an argument is noticed', async () => {
  const jobs = await Promise.all(corpora.map((corpus) => jobsOf(createPlans, corpus)));
  const verdicts = fieldMutants(jobs.flat());
  const unnoticed = verdicts
    .filter((verdict) => !verdict.noticed)
    .map(({ generator, path }) => `${generator}: ${path}`);
  expect(unnoticed.filter((field) => !inert.has(field))).toEqual([]);
  expect(verdicts.length).toBeGreaterThan(300);
}, 60_000);

/**
 * Reads of values that never change but together with another that the same query reads: forgetting
 * one of them changes nothing that can be seen. A new name here asks for a change that tells them
 * apart, in `corpus.ts`.
 */
const covered = new Set([
  'manifest → proxylessNames',
  'manifest → proxylessCallable',
  'virtualHost → effectivePolicy',
  'policyClass → policy.export',
  'manifest → outboundListenerList',
  'manifest → routerProblems',
  'serviceClusters → clusterFacts',
  'routeTable → routeTableHead',
  'routeTable → routeTableHosts',
  'routerListeners → sourceLabels',
  'routerListeners → viewOf',
  'routerListeners → policyClass',
  'routerTypes → meshRef',
  'routerTypes → sourceLabels',
  'routerTypes → viewOf',
  'gatewayTable → gatewayTableNothing',
  'gatewayTable → gatewayTableHead',
  'gatewayTableHosts → routeShape',
  'shared → effectivePolicy',
  'shared → view',
  'shared → service',
  'view → meshRoutes',
]);

it('forgetting any recorded read is noticed', async () => {
  const verdicts = await readMutants(createPlans, corpora);
  const unnoticed = verdicts
    .filter((one) => one.verdict !== 'noticed' && !covered.has(`${one.reader} → ${one.source}`))
    .map((one) => `${one.reader} → ${one.source}: ${one.verdict}, by ${one.by.join()}`);
  expect(unnoticed).toEqual([]);
  expect(verdicts.length).toBeGreaterThan(140);
}, 120_000);

it('what is kept up to date is what a new process makes of the same objects', async () => {
  const stale = await Promise.all(corpora.map((corpus) => staleSteps(createPlans, corpus, 30)));
  expect(stale.flat()).toEqual([]);
}, 60_000);
