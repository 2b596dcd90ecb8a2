import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { parseSync } from 'oxc-parser';

const root = resolve(import.meta.dirname, '../..');

/** Files of the working tree that are, or are about to be, part of the repository. */
export function projectFiles(): readonly string[] {
  const list = execFileSync('git', ['ls-files', '-z', '-c', '-o', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const deleted = execFileSync('git', ['ls-files', '-z', '-d'], { cwd: root, encoding: 'utf8' });
  const gone = new Set(deleted.split('\0'));
  return [...new Set(list.split('\0'))].filter((path) => path !== '' && !gone.has(path)).sort();
}

export function isGenerated(path: string): boolean {
  return /(?:^|\/)gen\//u.test(path);
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export interface Import {
  readonly specifier: string;
  /** Every name is a type: nothing is loaded at run time. */
  readonly typesOnly: boolean;
  /** A package's or `node:` module's name, or a file of this repository. */
  readonly target: { readonly kind: 'package' | 'file' | 'nothing'; readonly name: string };
}

export function importsOf(path: string): readonly Import[] {
  const text = textOf(path);
  const { module } = parseSync(path, text);
  const found = new Map<string, boolean>();
  const add = (specifier: string, typesOnly: boolean): void => {
    found.set(specifier, (found.get(specifier) ?? true) && typesOnly);
  };
  for (const { moduleRequest, entries } of module.staticImports) {
    add(moduleRequest.value, entries.length > 0 && entries.every((entry) => entry.isType));
  }
  for (const { entries } of module.staticExports) {
    for (const { moduleRequest, isType } of entries) {
      if (moduleRequest !== null && moduleRequest !== undefined) add(moduleRequest.value, isType);
    }
  }
  for (const { moduleRequest } of module.dynamicImports) {
    const literal = text.slice(moduleRequest.start, moduleRequest.end);
    add(/^(['"])(.*)\1$/u.exec(literal)?.[2] ?? `dynamic: ${literal}`, false);
  }
  return [...found].map(([specifier, typesOnly]) => ({
    specifier,
    typesOnly,
    target: targetOf(path, specifier),
  }));
}

function targetOf(path: string, specifier: string): Import['target'] {
  if (specifier.startsWith('node:')) return { kind: 'package', name: specifier };
  const internal = /^(?:\.|@watershed\/|xdsctl\/)/u.test(specifier);
  if (!internal) return { kind: 'package', name: packageOf(specifier) };
  try {
    // It follows the workspaces' links, so the answer is the file itself.
    const file = createRequire(join(root, path)).resolve(specifier);
    return { kind: 'file', name: relative(root, file) };
  } catch {
    return { kind: 'nothing', name: specifier };
  }
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
