import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * Keeps a directory for this process. By SQLite, for Node has no lock that the system takes back
 * when its owner ends, however it ends; the database is and stays empty.
 *
 * @throws Error that names the process that has it.
 */
export function lockDirectory(directory: string): Disposable {
  const holder = join(directory, 'lock.pid');
  const database = new DatabaseSync(join(directory, 'lock'));
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw isBusy(error) ? new Error(`it is in use by ${nameIn(holder)}`) : error;
  }
  writeFileSync(holder, `${process.pid}\n`);
  return { [Symbol.dispose]: () => database.close() };
}

/** SQLite's code 5. */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

function nameIn(holder: string): string {
  try {
    return `pid ${readFileSync(holder, 'utf8').trim()}`;
  } catch {
    // It has the lock, and did not come to write its name yet.
    return 'another process';
  }
}
