/** A secret over SDS, still sealed: the one resource that the pusher opens, for whom it is meant. */
import type { Generator } from '../plan.ts';

export interface SecretArgument {
  /** The secret's record as the log has it: an encoded `Event` of the model. */
  readonly record: Uint8Array;
}

/** What a proxy gets of it (a certificate with its key, or roots) follows from the resource's name. */
export const sealedSecret: Generator<SecretArgument> = {
  name: 'secret',
  version: 1,
  generate({ record }) {
    return { bytes: record };
  },
};
