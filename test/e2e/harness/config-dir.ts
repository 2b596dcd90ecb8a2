import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';

/** A Kubernetes object as a user would write it. */
export type UserObject = Readonly<Record<string, unknown>>;

/** A directory that the control plane reads. Files appear whole: written aside, then renamed. */
export class ConfigDir {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<ConfigDir> {
    return new ConfigDir(await mkdtemp(join(tmpdir(), 'watershed-config-')));
  }

  /** Makes (or replaces) `NAME.yaml`. */
  async write(name: string, ...objects: readonly UserObject[]): Promise<void> {
    await this.writeText(
      `${name}.yaml`,
      objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n'),
    );
  }

  /** Makes (or replaces) a file with a text that may be anything but YAML. */
  async writeText(file: string, text: string): Promise<void> {
    const target = join(this.path, file);
    const aside = join(this.path, `.${file.replaceAll('/', '_')}.tmp`);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(aside, text);
    await rename(aside, target);
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(join(this.path, `${from}.yaml`), join(this.path, `${to}.yaml`));
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.path, `${name}.yaml`), { force: true });
  }

  async delete(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
