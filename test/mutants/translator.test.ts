/**
 * The translator's own plans and generators: every mutant is noticed, but for those of reads that
 * nobody could notice.
 */
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { expect, it } from 'vitest';
import { corpora } from './corpora.ts';
import { fieldMutants, jobsOf } from './fields.ts';
import { readMutants, staleSteps } from './reads.ts';

it('leaving any field out of the digest of an argument is noticed', async () => {
  const jobs = await Promise.all(corpora.map((corpus) => jobsOf(createPlans, corpus)));
  const verdicts = fieldMutants(jobs.flat());
  const unnoticed = verdicts
    .filter((verdict) => !verdict.noticed)
    .map(({ generator, path }) => `${generator}: ${path}`);
  expect(unnoticed).toEqual([]);
  expect(verdicts.length).toBeGreaterThan(300);
}, 300_000);

/**
 * Reads of what another read of the same query is told of as well, whatever changes: with one of
 * the two forgotten, nothing can be seen to be missing. Each with the reason why it cannot matter.
 */
const covered: ReadonlyMap<string, string> = new Map([
  [
    'manifest → outboundListenerList',
    'the list is made of the view, of the layout (read for its tables) and of the policies of each ' +
      'service (which are in the keys of its clusters)',
  ],
  ['manifest → proxylessNames', 'names are made of what is callable (read for its tables) alone'],
  [
    'authorizations → peerAuthentications',
    'every PeerAuthentication is looked at (as a policy of its own), so a change of any is told',
  ],
  ['manifest → proxylessCallable', 'names differ whenever what is callable does'],
]);

it('forgetting any recorded read is noticed', async () => {
  const verdicts = await readMutants(createPlans, corpora);
  const unnoticed = verdicts.filter((one) => one.verdict !== 'noticed');
  const told = unnoticed.map((one) => `${one.reader} → ${one.source}`);
  const more = unnoticed
    .filter((one) => !covered.has(`${one.reader} → ${one.source}`))
    .map((one) => `${one.reader} → ${one.source}: ${one.verdict}, by ${one.by.join()}`);
  // One more asks for a change that tells it apart (in `corpus.ts`), or for less to be read.
  expect(more).toEqual([]);
  expect([...covered.keys()].filter((pair) => !told.includes(pair))).toEqual([]);
  expect(verdicts.length).toBeGreaterThan(140);
}, 300_000);

it('what is kept up to date is what a new process makes of the same objects', async () => {
  const stale = await Promise.all(corpora.map((corpus) => staleSteps(createPlans, corpus, 30)));
  expect(stale.flat()).toEqual([]);
}, 300_000);
