/**
 * What the translator's mutants are tried on: one corpus with objects of every kind, and its
 * goldens.
 */
import { Event } from '@watershed/model/gen/model.ts';
import { goldens } from '../../services/translator/test/assembly/support/golden.ts';
import { encode, scopeOf } from '../../services/translator/test/assembly/support/world.ts';
import type { Corpus, Input } from './bed.ts';
import { ownCorpora } from './corpus.ts';
import { ztunnelCorpus } from './corpus-ztunnel.ts';

export const corpora: readonly Corpus[] = [
  ...goldens().map(({ given, scopes }) => ({
    inputs: given.map((one): Input => {
      const { topic, key, value } = encode(one);
      return { topic, key, object: value && Event.decode(value).object };
    }),
    scopes: Object.values(scopes).map(scopeOf),
  })),
  ...ownCorpora,
  ztunnelCorpus,
];
