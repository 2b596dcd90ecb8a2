/** The metrics that a PromQL expression reads: its names that are no functions, labels or keywords. */
export function metricsOf(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"[^"]*"|'[^']*'/gu, '')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/gu, '')
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gu, '')
    .replaceAll(/\b(?:and|or|unless|bool|offset)\b/gu, '');
  const names = bare.match(/[a-zA-Z_:][\w:]*(?!\w|\s*\()/gu) ?? [];
  return [...new Set(names)];
}
