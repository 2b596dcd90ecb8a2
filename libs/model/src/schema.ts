/**
 * The version of the format in which a record's value is written: the least version of a reader
 * that understands it, in a header; without one, 1. CONTRIBUTING.md says when it is raised: hardly
 * ever, because what is added as a new field is read by all versions.
 */
export const schemaHeader = 'schema';

/** What this version of Watershed writes, and reads. */
export const schemaVersion = 1;

/** Why a record with these headers cannot be read; `undefined`: it can. */
export function unreadable(
  headers: Readonly<Record<string, string>> | undefined,
): string | undefined {
  const version = headers?.[schemaHeader];
  if (version === undefined || Number(version) <= schemaVersion) return undefined;
  return `it is of schema ${JSON.stringify(version)}, and this version reads up to ${schemaVersion}`;
}
