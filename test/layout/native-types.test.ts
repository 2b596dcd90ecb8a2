/**
 * What a type of resource that is not Envoy's touches: its proto, one folder of generators, and one
 * line of a registry. Nothing else may know of it: not the engine, not the log, not the pusher.
 */
import { nativeTypes } from '@watershed/translator/assembly/native-types.ts';
import { expect, test } from 'vitest';
import { importsOf, isGenerated, projectFiles, textOf } from './sources.ts';

const registry = 'services/translator/src/assembly/native-types.ts';
const folder = /^services\/translator\/src\/generators\/[a-z-]+\//u;

const code = projectFiles().filter(
  (path) =>
    /\.(?:ts|proto|json|txt)$/u.test(path) &&
    !/(?:^|\/)test\//u.test(path) &&
    !path.startsWith('libs/proto/') &&
    !isGenerated(path),
);

interface Known {
  /** The message's name, and the word for it in `libs/proto/src/any.ts`. */
  readonly names: RegExp;
  /** Where the message is generated. */
  readonly proto: RegExp;
}

const known: Readonly<Record<string, Known>> = {
  'istio.workload.Address': {
    names: /istio\.workload\.Address\b|typeUrls\.address\b/u,
    proto: /\/gen\/istio\/workloadapi\/workload\.ts$/u,
  },
  'istio.security.Authorization': {
    names: /istio\.security\.Authorization\b|typeUrls\.authorization\b/u,
    proto: /\/gen\/istio\/workloadapi\/security\/authorization\.ts$/u,
  },
};

function knowing({ names, proto }: Known): readonly string[] {
  return code.filter(
    (path) =>
      names.test(textOf(path)) ||
      (path.endsWith('.ts') && importsOf(path).some(({ target }) => proto.test(target.name))),
  );
}

test.each(nativeTypes.map(({ typeUrl }) => typeUrl.slice(typeUrl.indexOf('/') + 1)))(
  '%s is its proto, one folder of generators and one line of the registry',
  (name) => {
    const type = known[name];
    if (type === undefined) throw new Error(`say here how ${name} is recognised`);
    const files = knowing(type);
    const folders = new Set(files.map((path) => folder.exec(path)?.[0] ?? path));
    expect([...folders]).toEqual([expect.stringMatching(folder)]);
    const [own = ''] = folders;
    const outside = code.filter(
      (path) =>
        path.endsWith('.ts') &&
        !path.startsWith(own) &&
        importsOf(path).some(({ target }) => target.name.startsWith(own)),
    );
    expect(outside).toEqual([registry]);
    const line = `../generators/${own.split('/').at(-2) ?? ''}/`;
    const lines = textOf(registry).split('\n');
    expect(lines.filter((text) => text.includes(line)).length).toBe(1);
  },
);

test('a type that is in no registry is known to nobody', () => {
  const registered = nativeTypes.map(({ typeUrl }) => typeUrl.slice(typeUrl.indexOf('/') + 1));
  expect(registered.sort()).toEqual(Object.keys(known).sort());
});
