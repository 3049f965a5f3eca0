# Reads the output of go test -v: prints one line for each package, everything
# a package that failed has said, and at the end what was skipped and why.

/^=== (RUN|PAUSE|CONT|NAME)/ { text = text $0 "\n"; next }

/^ *--- SKIP: / {
	reason = last
	sub(/^ *[^ ]*_test\.go:[0-9]*: |^ *[^ ]*\.go:[0-9]*: /, "", reason)
	skipped[++skips] = $3 ": " reason
}

/^(ok|FAIL)[ \t]+[^ \t]/ {
	if ($1 == "FAIL")
		printf "%s", text
	print
	fflush()
	text = last = ""
	next
}

/^\?/ { next }
{ text = text $0 "\n"; last = $0 }

END {
	# What belongs to no package: the go command's own complaints.
	printf "%s", text
	for (i = 1; i <= skips; i++)
		print "skipped " skipped[i]
}
