/**
 * One look at a directory tree (or a single file): which files there are, and what `stat` says of
 * them.
 */
import type { BigIntStats, Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { describeError } from '@watershed/runtime/errors.ts';

export interface SeenFile {
  readonly path: string;
  readonly size: number;
  /** Equal stamps: the same bytes, unless somebody forged the times. */
  readonly stamp: string;
}

export type TreeListing =
  /** The root is not there. */
  | { readonly kind: 'missing'; readonly reason: string }
  /** Something could not be looked at: of what is below it nothing is known. */
  | {
      readonly kind: 'seen';
      readonly files: ReadonlyMap<string, SeenFile>;
      readonly blind: readonly Blind[];
    };

export interface Blind {
  readonly path: string;
  readonly reason: string;
}

const extensions = new Set(['.yaml', '.yml', '.json']);
/** Deeper directories are somebody's mistake. */
const maxDepth = 32;
const maxFiles = 100_000;

/** Called with each folder before it is listed; `id` tells it from another one of its name. */
type OnFolder = (folder: string, id: string) => void;

export interface ListOptions {
  readonly onFolder?: OnFolder;
  /** The root must be one file; default: it may be. */
  readonly isOneFile?: boolean;
}

interface Walk {
  readonly files: Map<string, SeenFile>;
  readonly blind: Blind[];
  readonly onFolder: OnFolder;
}

/**
 * Names that start with a dot are not looked into: editors' files, and the real folders of mounted
 * ConfigMaps.
 */
export async function listTree(
  root: string,
  { onFolder = () => undefined, isOneFile = false }: ListOptions = {},
): Promise<TreeListing> {
  const files = new Map<string, SeenFile>();
  const blind: Blind[] = [];
  const found = await statOf(root);
  if (found === undefined) return { kind: 'missing', reason: `${root} does not exist` };
  if ('reason' in found) blind.push(found);
  else if (found.isDirectory() && !isOneFile) {
    await walkInto({ files, blind, onFolder }, root, [idOf(found)]);
  } else {
    const parent = await statOf(dirname(root));
    if (parent !== undefined && 'ino' in parent) onFolder(dirname(root), idOf(parent));
    if (found.isFile()) files.set(root, seen(root, found));
    else {
      const reason = isOneFile ? 'is no file' : 'is neither a file nor a directory';
      blind.push({ path: root, reason });
    }
  }
  return { kind: 'seen', files, blind };
}

/** Why nothing at all is known of what is at a root; undefined if something is. */
export function troubleOf(root: string, listing: TreeListing): string | undefined {
  if (listing.kind === 'missing') return listing.reason;
  return listing.blind.find(({ path }) => path === root)?.reason;
}

/** As `troubleOf`, where the path stands beside it. */
export function troubleAt(root: string, listing: TreeListing): string | undefined {
  return listing.kind === 'missing' ? 'does not exist' : troubleOf(root, listing);
}

/** Whether a path below the root is one that a listing may have. */
export function isWanted(root: string, path: string): boolean {
  if (path === root) return true;
  if (!path.startsWith(`${root}/`) || !extensions.has(extname(path).toLowerCase())) return false;
  const below = path.slice(root.length + 1).split('/');
  return below.length <= maxDepth && below.every((name) => !name.startsWith('.'));
}

/**
 * What `stat` says of one file now; undefined if it is no file any more; `blind` if it cannot be
 * looked at.
 */
export async function lookAt(path: string): Promise<SeenFile | undefined | 'blind'> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  if ('reason' in found) return 'blind';
  return found.isFile() ? seen(path, found) : undefined;
}

/**
 * `above`: the directories that this one is in, itself the last; a symlink may lead back to one.
 */
async function walkInto(walk: Walk, folder: string, above: readonly string[]): Promise<void> {
  if (above.length > maxDepth) {
    walk.blind.push({ path: folder, reason: `${folder} is deeper than ${maxDepth} directories` });
    return;
  }
  walk.onFolder(folder, above.at(-1) ?? '');
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (!isAbsent(error)) walk.blind.push({ path: folder, reason: describeError(error) });
    return;
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    const wanted = extensions.has(extname(entry.name).toLowerCase());
    if (entry.isFile() && !wanted) continue;
    const found = await statOf(path);
    if (found === undefined) continue;
    if ('reason' in found) walk.blind.push(found);
    else if (found.isDirectory()) await walkBelow(walk, path, found, above);
    else if (found.isFile() && wanted) addFile(walk, path, found);
  }
}

async function walkBelow(
  walk: Walk,
  path: string,
  found: BigIntStats,
  above: readonly string[],
): Promise<void> {
  const id = idOf(found);
  if (!above.includes(id)) await walkInto(walk, path, [...above, id]);
}

/** An inode alone is not enough: what is removed frees it for what is made next. */
function idOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}

function addFile(walk: Walk, path: string, found: BigIntStats): void {
  if (walk.files.size < maxFiles) walk.files.set(path, seen(path, found));
  else walk.blind.push({ path, reason: `more than ${maxFiles} files` });
}

async function statOf(path: string): Promise<BigIntStats | Blind | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    return isAbsent(error) ? undefined : { path, reason: describeError(error) };
  }
}

function isAbsent(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error)) return false;
  return error.code === 'ENOENT' || error.code === 'ENOTDIR';
}

function seen(path: string, found: BigIntStats): SeenFile {
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  return { path, size: Number(size), stamp: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}` };
}
