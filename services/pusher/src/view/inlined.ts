import type { Digest } from '@watershed/blob/port.ts';
import { FieldReader, WireError, hexOf, versionText } from '../wire.ts';

const none: readonly string[] = [];

/** What is in the record of such a resource beside its version. */
export class Inlined {
  readonly size: number;
  readonly refs: readonly string[] = none;
  readonly fragments: readonly Uint8Array[];
  readonly #record: Uint8Array;

  /** `record` has such a version. */
  constructor(record: Uint8Array) {
    const fragments: Uint8Array[] = [];
    let size = 0;
    const fields = resourceIn(new FieldReader(record));
    while (fields?.next() === true) {
      if (fields.field === 6) size = fields.value;
      else if (fields.field === 10) fragments.push(fields.content());
    }
    this.size = size;
    // An array that has grown has room for more, and this one is kept.
    this.fragments = fragments.slice();
    this.#record = record;
  }

  /** Read each time: who serves the fragments does not ask for them. */
  get digests(): readonly Digest[] {
    const digests: Digest[] = [];
    const fields = resourceIn(new FieldReader(this.#record));
    while (fields?.next() === true) {
      if (fields.field === 5) digests.push(hexOf(fields.content()));
    }
    return digests;
  }
}

export interface Versioned {
  readonly version: string;
  /** How many its bytes come in. */
  readonly parts: number;
}

/**
 * The version in an encoded `XdsRecord` of which that is all that matters until somebody asks for
 * the resource: its bytes are in it, it waits for no epoch, needs nothing and is found by its name
 * alone. So are assignments, which come by the thousand, and of which most concern no stream of
 * this process. `undefined`: another record, or one that cannot be read; who decodes it will tell.
 *
 * Fields of XdsRecord: resource 1, others 2 to 4, epoch 15; of SharedResource: version 4, fragments
 * 5, size 6, refs 7, aliases 8, groups 9, inlined 10.
 */
export function inlinedVersion(record: Uint8Array): Versioned | undefined {
  try {
    const resource = resourceIn(new FieldReader(record));
    return resource === undefined ? undefined : versionIn(resource);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Set to the resource's fields. */
function resourceIn(fields: FieldReader): FieldReader | undefined {
  let start = -1;
  let end = -1;
  while (fields.next()) {
    const { field, wireType } = fields;
    if (field === 15 && wireType === 0 && fields.value === 0) continue;
    if (field !== 1 || wireType !== 2 || start >= 0) return undefined;
    [start, end] = [fields.start, fields.end];
  }
  if (start < 0) return undefined;
  fields.at = start;
  fields.until = end;
  return fields;
}

function versionIn(fields: FieldReader): Versioned | undefined {
  let version: Uint8Array | undefined;
  let fragments = 0;
  let inlined = 0;
  while (fields.next()) {
    const { field, wireType } = fields;
    if ((field >= 7 && field <= 9) || wireType !== (field === 6 ? 0 : 2)) return undefined;
    if (field === 4) version = fields.content();
    else if (field === 5) fragments++;
    else if (field === 10) inlined++;
  }
  if (version === undefined || fragments === 0 || inlined !== fragments) return undefined;
  return { version: versionText(version), parts: fragments };
}
