/**
 * What the image's first stage makes, made here: `k8s/image/Dockerfile` is carried out line by
 * line.
 */
import { cp, mkdir, readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { run } from 'xdsctl/components/child.ts';

export const repository = join(import.meta.dirname, '../..');
const timeoutMs = 300_000;

/** The steps of each stage, in order: `COPY`, what follows it. Lines that go on are one. */
export async function stagesOf(dockerfile: string): Promise<readonly (readonly Step[])[]> {
  const text = (await readFile(dockerfile, 'utf8')).replaceAll(/^#.*\n/gmu, '');
  const steps = text
    .replaceAll(/\\\n\s*/gu, '')
    .split('\n')
    .flatMap((line): Step[] => {
      const [, verb, rest] = /^([A-Z]+)\s+(.+)$/u.exec(line) ?? [];
      return verb === undefined || rest === undefined ? [] : [{ verb, rest }];
    });
  const stages: Step[][] = [];
  for (const step of steps) {
    if (step.verb === 'FROM') stages.push([]);
    stages.at(-1)?.push(step);
  }
  return stages;
}

export interface Step {
  readonly verb: string;
  readonly rest: string;
}

/** Fills `directory` with what the image has in /app. */
export async function buildImage(dockerfile: string, directory: string): Promise<void> {
  const ignored = await ignoredBy(`${dockerfile}.dockerignore`);
  const [build = []] = await stagesOf(dockerfile);
  for (const { verb, rest } of build) {
    if (verb === 'COPY') {
      const names = rest.split(/\s+/u);
      const to = join(directory, names.at(-1) ?? '');
      for (const name of names.slice(0, -1)) await copy(name, to, names.at(-1) ?? '', ignored);
    }
    if (verb === 'RUN') {
      const { status, stderr } = await run('sh', ['-c', rest], { cwd: directory, timeoutMs });
      if (status !== 0) throw new Error(`${rest}: ${stderr.slice(-2_000)}`);
    }
  }
}

async function copy(
  name: string,
  to: string,
  spelling: string,
  ignored: (path: string) => boolean,
): Promise<void> {
  const from = join(repository, name);
  const into = spelling.endsWith('/') ? join(to, basename(name)) : to;
  await mkdir(join(into, '..'), { recursive: true });
  const filter = (path: string): boolean => !ignored(relative(repository, path));
  await cp(from, into, { recursive: true, filter });
}

// Patterns of the forms `**/name`, `name` and, taking back what others say, `!path`.
async function ignoredBy(file: string): Promise<(path: string) => boolean> {
  const patterns = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const wanted = new Set(patterns.filter((line) => line[0] === '!').map((line) => line.slice(1)));
  const anywhere = new Set(patterns.flatMap((line) => /^\*\*\/(.+)$/u.exec(line)?.[1] ?? []));
  const atTop = new Set(patterns);
  return (path) => {
    if (wanted.has(path)) return false;
    const parts = path.split('/');
    return atTop.has(parts[0] ?? '') || parts.some((part) => anywhere.has(part));
  };
}
