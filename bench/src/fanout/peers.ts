import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from 'xdsctl/components/cache.ts';

export type Peer = 'grpcgo' | 'controlplane';

/** Builds the servers to compare with, by Go (1.26 or newer), whose caches make the next time quick. */
export async function buildPeers(): Promise<(peer: Peer) => string> {
  const sources = fileURLToPath(new URL('../../peers', import.meta.url));
  const target = join(cacheDirectory(process.env), 'bench-peers');
  const args = ['build', '-o', `${target}/`, './grpcgo', './controlplane'];
  await promisify(execFile)('go', args, { cwd: sources });
  return (peer) => join(target, peer);
}
