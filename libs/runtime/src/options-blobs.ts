import { shownOf } from './option-rows.ts';
import { sharedGroup } from './options-log.ts';
import { defineOptions, type ConfigOf } from './options.ts';

const form = 'redis://[user[:password]@]host[:port][/database]';

/** How Redis is reached. */
export const redisOptions = defineOptions({
  redisUrl: {
    type: 'string',
    flag: '--redisUrl',
    env: ['WATERSHED_REDIS_URL'],
    pattern: /^rediss?:\/\//u,
    form,
    placeholder: 'redis://host:port',
    secret: 'in-url',
    group: sharedGroup,
    doc: `Where translators put encoded resources for pushers: ${form}, rediss:// with TLS. The password can be in it, percent-encoded, or in WATERSHED_REDIS_PASSWORD, not in both. Of a flag, all users of the machine see it: give a URL with a password by the variable.`,
  },
  redisPassword: {
    type: 'string',
    env: ['WATERSHED_REDIS_PASSWORD'],
    secret: true,
    group: sharedGroup,
    doc: 'Of Redis, as it is; for a --redisUrl without one.',
  },
});

/** For `Program.check`: what the client of Redis would fail on later, or take otherwise. */
export function checkRedis({
  redisUrl,
  redisPassword,
}: Partial<ConfigOf<typeof redisOptions>>): readonly string[] {
  if (redisUrl === undefined) return [];
  const url = URL.parse(redisUrl);
  if (url === null || !isOfForm(url)) {
    const shown = JSON.stringify(shownOf(redisOptions.redisUrl, redisUrl));
    const encoded = 'with all but letters and digits of user and password percent-encoded';
    return [`--redisUrl: ${shown}: not ${form}, ${encoded}`];
  }
  if (url.password !== '' && redisPassword !== undefined) {
    return ['--redisUrl, WATERSHED_REDIS_PASSWORD: a password in both; it may be in one only'];
  }
  return [];
}

/** The client takes parameters for options of its own. */
function isOfForm({ hostname, pathname, search, hash, username, password }: URL): boolean {
  const isBare = /^\/?\d*$/u.test(pathname) && search === '' && hash === '';
  return hostname !== '' && isBare && isEncoded(username) && isEncoded(password);
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
