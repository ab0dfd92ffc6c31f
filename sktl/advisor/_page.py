"""Style and script of the report's page."""

# Colours are those of Okabe and Ito, which colour-blind readers tell apart; lines differ by marker and dash too.
STYLE = """
:root{--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--a:#0072b2;--b:#b34700;--c:#00735c;
--chosen:#fff3c4;--q0:#e3f0f8;--q1:#e2f3ee;--q2:#fbeadf;--q3:#f5e6f0}
@media (prefers-color-scheme:dark){:root{--bg:#0f1318;--fg:#e6e9ed;--soft:#a3adb8;--line:#3a424c;--panel:#181e25;
--a:#56b4e9;--b:#f0a050;--c:#3fc9a5;--chosen:#4a3d0c;--q0:#12303f;--q1:#12362c;--q2:#3d2817;--q3:#3a2233}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:16px}
header{border-bottom:1px solid var(--line);padding-bottom:12px;margin-bottom:8px}
h1{font-size:1.5rem;line-height:1.25;margin:.2em 0}
h2{display:inline;font-size:1.1rem}
.what{color:var(--soft);margin:0}
h1,li,.what,figcaption,caption{overflow-wrap:anywhere}
.tag{display:inline-block;margin:.4em 0 0;padding:2px 12px;border:1px solid var(--a);border-radius:99px;color:var(--a)}
details{border-bottom:1px solid var(--line);padding:10px 0}
summary{cursor:pointer;padding:4px 0}
summary:focus-visible,button:focus-visible,.wide:focus-visible,pre:focus-visible{
outline:3px solid var(--a);outline-offset:2px}
figure{margin:12px 0}
figcaption,caption{color:var(--soft);text-align:left;padding:4px 0}
svg{width:100%;max-width:680px;height:auto;display:block;font-family:system-ui,sans-serif;font-size:13px}
svg text{fill:var(--fg)}
.strong{font-weight:700}
@media (max-width:600px){svg{font-size:17px}}
.grid{stroke:var(--line)}
.guide{stroke:var(--fg);stroke-dasharray:3 4}
.line{fill:none;stroke-width:2.5}
.line.s0{stroke:var(--a)}.line.s1{stroke:var(--b);stroke-dasharray:7 4}.line.s2{stroke:var(--c);stroke-dasharray:2 3}
.mark.s0{fill:var(--a)}.mark.s1{fill:var(--b)}.mark.s2{fill:var(--c)}
.here{fill:var(--b);stroke:var(--bg);stroke-width:2}
.quadrant{stroke:var(--line)}.q0{fill:var(--q0)}.q1{fill:var(--q1)}.q2{fill:var(--q2)}.q3{fill:var(--q3)}
.wide{overflow-x:auto;max-width:100%}
caption span{display:inline-block;position:sticky;left:0;max-width:calc(100vw - 40px)}
table{border-collapse:collapse;min-width:100%}
th,td{padding:6px 10px;text-align:left;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th button{font:inherit;font-weight:700;color:inherit;background:none;border:0;padding:2px;cursor:pointer;
white-space:nowrap}
th button::after{content:" \\2195";color:var(--soft)}
th[aria-sort=ascending] button::after{content:" \\2191";color:var(--fg)}
th[aria-sort=descending] button::after{content:" \\2193";color:var(--fg)}
td{white-space:nowrap}
.chosen td{background:var(--chosen);font-weight:600}
.classes{min-width:0}
.bars{min-width:110px}
.bar{display:inline-block;height:10px;background:var(--a);max-width:70px;margin-right:6px}
img{width:72px;height:72px;margin:2px;vertical-align:middle;border-radius:4px}
.pictures{list-style:none;padding:0}
.pictures li{padding:4px 0}
.pictures span{margin-left:6px}
.code{position:relative}
pre{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:12px;padding-top:44px;
overflow-x:auto;font:14px/1.45 ui-monospace,monospace}
.copy{position:absolute;top:8px;right:8px;font:inherit;padding:3px 14px;
border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg);cursor:pointer}
.said{color:var(--soft);margin:4px 0;min-height:1.5em}
@media print{.copy,.said{display:none}}
"""

SCRIPT = """
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const place = [...head.parentElement.children].indexOf(head);
    const falling = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const key = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
    const compare = (a, b) => {
      const [one, other] = [key(a), key(b)];
      const numbers = row => row.cells[place].dataset.value !== undefined;
      return numbers(a) && numbers(b) ? Number(one) - Number(other) : one.localeCompare(other);
    };
    const rows = [...body.rows].sort((a, b) => falling ? compare(b, a) : compare(a, b));
    body.append(...rows);
  });
}
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code"), said = button.parentElement.querySelector(".said");
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const chosen = getSelection();
      chosen.removeAllRanges();
      chosen.addRange(range);
      said.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with Ctrl+C.";
    }
  });
}
"""
