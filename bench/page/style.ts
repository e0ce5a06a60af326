// How the page looks, light and dark. The chart colours keep apart for readers who see red and green alike.

export const STYLE = `
:root{color-scheme:light dark;--bg:#fbfaf8;--fg:#1d2125;--soft:#646c75;--line:#e2dfd9;--card:#fff;
--c0:#1f77b4;--c1:#d9730d;--c2:#1a9a8a;--c3:#8c5bb5;--c4:#c23b5a;--c5:#8a7a1c;--c6:#56a3e0;--c7:#7b8087;
--good:#0f7b5f;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e8ea;--soft:#9aa3ad;--line:#2c3238;--card:#1b1f23;
--c0:#5aa9e6;--c1:#f0a04b;--c2:#3ecbb8;--c3:#b995e0;--c4:#f0788f;--c5:#d3c04f;--c6:#9fd0f7;--c7:#9aa3ad;
--good:#5fd0a8;--bad:#ff8a80}}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.55 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:40px 20px 80px}
h1{font-size:32px;margin:0 0 4px;letter-spacing:-.02em}h2{font-size:19px;margin:0 0 4px}
.lead{color:var(--soft);margin:0 0 14px}
.facts{list-style:none;margin:0 0 20px;padding:0;display:flex;flex-wrap:wrap;gap:6px}
.facts li{border:1px solid var(--line);border-radius:999px;padding:1px 11px;font-size:13px;color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin:18px 0}
section>p{color:var(--soft);margin:0 0 14px;max-width:68ch}
.note{border-left:3px solid var(--c1);padding-left:12px;color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;font-weight:600;color:var(--soft);border-bottom:1px solid var(--line);padding:4px 10px 6px 0}
td{border-bottom:1px solid var(--line);padding:5px 10px 5px 0;vertical-align:top}tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.verdict{font-size:12.5px;font-weight:600}.verdict.aim,.verdict.holds{color:var(--good)}.verdict.missed{color:var(--bad)}
.verdict.unmeasured{color:var(--soft);font-weight:400}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
svg .label{fill:var(--fg)}svg .grid{stroke:var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 0 8px;font-size:13px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
h3{font-size:14px;margin:18px 0 6px}
`
